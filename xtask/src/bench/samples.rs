//! Times of several runs and what they come to.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    pub(super) fn add(&mut self, time: Duration) {
        let at = self.sorted.partition_point(|other| *other <= time);
        self.sorted.insert(at, time);
    }

    /// The middle one, or the mean of the two in the middle; zero if there is none.
    pub(super) fn median(&self) -> Duration {
        let middle = self.sorted.len() / 2;
        match self.sorted.as_slice() {
            [] => Duration::ZERO,
            odd if odd.len() % 2 == 1 => odd[middle],
            even => (even[middle - 1] + even[middle]) / 2,
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        write!(
            f,
            "min {:.3} s, median {:.3} s, max {:.3} s",
            seconds(self.sorted.first()),
            self.median().as_secs_f64(),
            seconds(self.sorted.last())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(millis: &[u64]) -> Samples {
        let mut samples = Samples::default();
        for time in millis {
            samples.add(Duration::from_millis(*time));
        }
        samples
    }

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(samples(&[900, 100, 200]).median(), Duration::from_millis(200));
        assert_eq!(samples(&[400, 100, 200, 900]).median(), Duration::from_millis(300));
        assert_eq!(samples(&[]).median(), Duration::ZERO);
    }

    #[test]
    fn says_the_range() {
        assert_eq!(samples(&[900, 100, 200]).to_string(), "min 0.100 s, median 0.200 s, max 0.900 s");
    }
}
