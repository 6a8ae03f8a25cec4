//! The sources of mounts in requests: paths of the asker's that must become dockerd's.

mod log_driver;
mod volume;

use std::iter;
use std::ops::Range;

use hyper::StatusCode;

use super::asker::{Asker, Denied};
use super::endpoint::Body;
use super::json::{Json, JsonError};

/// The most paths in one request. Each may cost a question to a distribution.
const MOST: usize = 1024;

/// The body that dockerd gets; none: the one that came. Nothing is changed but the strings with paths in them.
pub(super) async fn translate<A: Asker>(
    kind: Body,
    body: &[u8],
    asker: &A,
) -> Result<Option<Vec<u8>>, Denied> {
    if body.is_empty() {
        return Ok(None); // dockerd says what it thinks of that
    }
    let json = Json::parse(body)?;
    let mut found = Found::default();
    match kind {
        Body::Container => {
            // What older clients say there dockerd still reads.
            of_host_config(json, &mut found)?;
            if let Some(config) = json.field("HostConfig")? {
                of_host_config(config, &mut found)?;
            }
        }
        Body::Service => {
            if let Some(template) = json.field("TaskTemplate")? {
                if let Some(spec) = template.field("ContainerSpec")? {
                    of_mounts(spec, &mut found)?;
                }
                if let Some(driver) = template.field("LogDriver")? {
                    log_driver::find(driver.field("Options")?, &mut found)?;
                }
            }
        }
        Body::Volume => {
            volume::find(json.field("Driver")?, json.field("DriverOpts")?, &mut found)?;
        }
    }
    let mut texts = found.texts;
    if texts.is_empty() {
        return Ok(None);
    }
    texts.sort_by_key(|text| text.place(body).start);
    let mut translated = Vec::with_capacity(body.len() + body.len() / 4);
    let mut from = 0;
    for text in texts {
        let place = text.place(body);
        translated.extend_from_slice(&body[from..place.start]);
        translated.extend_from_slice(text.translate(asker).await?.as_bytes());
        from = place.end;
    }
    translated.extend_from_slice(&body[from..]);
    Ok(Some(translated))
}

/// The strings with paths in a body.
#[derive(Default)]
struct Found<'a> {
    texts: Vec<Text<'a>>,
    paths: usize,
}

impl<'a> Found<'a> {
    fn add(&mut self, text: Text<'a>) -> Result<(), Denied> {
        self.paths += text.paths.len();
        if self.paths > MOST {
            return Err(bad(format!("too many mounts: there are more than {MOST}")));
        }
        if !text.paths.is_empty() {
            self.texts.push(text);
        }
        Ok(())
    }
}

/// A string in a body, and the paths in it, which are absolute.
struct Text<'a> {
    json: Json<'a>,
    value: String,
    paths: Vec<Range<usize>>,
    /// What ends a path in it, and so can't be in one.
    ends: &'static [char],
}

impl<'a> Text<'a> {
    /// One that is a path.
    fn path(json: Json<'a>, value: String) -> Self {
        let length = value.len();
        Self::prefix(json, value, length)
    }

    /// One that begins with a path.
    fn prefix(json: Json<'a>, value: String, length: usize) -> Self {
        Self { json, value, paths: iter::once(0..length).collect(), ends: &[] }
    }

    /// Where it is in the body that it was found in.
    fn place(&self, body: &[u8]) -> Range<usize> {
        let text = self.json.text();
        let start = text.as_ptr().addr() - body.as_ptr().addr();
        start..start + text.len()
    }

    /// What dockerd gets in its place.
    async fn translate<A: Asker>(self, asker: &A) -> Result<String, Denied> {
        let mut value = self.value;
        // From the back, so that what is in front stays where it is.
        for path in self.paths.into_iter().rev() {
            let translated = asker.translate(&value[path.clone()]).await?;
            if translated.contains(self.ends) {
                return Err(bad(format!("{translated:?} cannot be written in an option")));
            }
            value.replace_range(path, &translated);
        }
        Ok(serde_json::Value::String(value).to_string())
    }
}

fn of_host_config<'a>(config: Json<'a>, found: &mut Found<'a>) -> Result<(), Denied> {
    if let Some(binds) = config.field("Binds")? {
        for bind in binds.items()? {
            if let Some(value) = bind.string()?
                && let Some(length) = bind_source(&value)
            {
                found.add(Text::prefix(bind, value, length))?;
            }
        }
    }
    of_mounts(config, found)?;
    if let Some(log) = config.field("LogConfig")? {
        log_driver::find(log.field("Config")?, found)?;
    }
    Ok(())
}

/// The length of the source in `source:target[:mode]`; none: there is none, or it is a volume's name.
pub(super) fn bind_source(bind: &str) -> Option<usize> {
    bind.find(':').filter(|_| bind.starts_with('/'))
}

/// Of the member `Mounts`.
fn of_mounts<'a>(owner: Json<'a>, found: &mut Found<'a>) -> Result<(), Denied> {
    let Some(mounts) = owner.field("Mounts")? else { return Ok(()) };
    for mount in mounts.items()? {
        let kind = string(mount.field("Type")?)?;
        if let Some(source) = mount.field("Source")?
            && let Some(value) = source.string()?
            && kind.as_deref() == Some("bind")
            && value.starts_with('/')
        {
            found.add(Text::path(source, value))?;
        }
        if let Some(options) = mount.field("VolumeOptions")?
            && let Some(driver) = options.field("DriverConfig")?
        {
            volume::find(driver.field("Name")?, driver.field("Options")?, found)?;
        }
    }
    Ok(())
}

fn string(json: Option<Json<'_>>) -> Result<Option<String>, JsonError> {
    json.map_or(Ok(None), Json::string)
}

impl From<JsonError> for Denied {
    fn from(error: JsonError) -> Self {
        bad(error.to_string())
    }
}

fn bad(message: String) -> Denied {
    Denied { status: StatusCode::BAD_REQUEST, message }
}

fn forbidden(message: String) -> Denied {
    Denied { status: StatusCode::FORBIDDEN, message }
}

#[cfg(test)]
mod tests;
