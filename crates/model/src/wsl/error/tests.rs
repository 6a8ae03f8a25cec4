use super::*;

#[test]
fn contexts_are_printed_outermost_first_however_they_were_added() {
    let failure = Failure::new(Code::DistroNotFound)
        .in_context(Context::ReadDistroConfig)
        .in_context(Context::CreateInstance)
        .in_context(Context::Service)
        .in_context(Context::CreateInstance)
        .in_context(Context::Wsl);
    assert_eq!(
        failure.render(),
        "There is no distribution with the supplied name.\n\
         Error code: Wsl/Service/CreateInstance/ReadDistroConfig/WSL_E_DISTRO_NOT_FOUND\n"
    );
}

#[test]
fn the_hint_stands_between_message_and_code() {
    let failure = Failure::new(Code::Fail).with_message("one\ntwo").hint("do this").in_context(Context::Wsl);
    assert_eq!(failure.render(), "one\ntwo\ndo this\nError code: Wsl/E_FAIL\n");
}

#[test]
fn system_texts_keep_their_trailing_blank_in_print_only() {
    let failure = Failure::new(Code::InvalidArg).in_context(Context::Wsl);
    assert_eq!(failure.render(), "The parameter is incorrect. \nError code: Wsl/E_INVALIDARG\n");
    assert_eq!(failure.to_string(), "The parameter is incorrect.");
}

#[test]
fn two_codes_print_no_code() {
    for code in [Code::DefaultDistroNotFound, Code::InvalidUsage] {
        let text = Failure::new(code).in_context(Context::Wsl).render();
        assert!(!text.contains("Error code") && text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");
    }
}

#[test]
fn it_survives_the_socket() {
    let failure = Failure::new(Code::FileExists).in_context(Context::Service).hint("take another folder");
    let wire = serde_json::to_string(&failure).unwrap();
    assert_eq!(
        wire,
        r#"{"contexts":["Service"],"code":"ERROR_FILE_EXISTS","message":"The file exists. ","hint":"take another folder"}"#
    );
    assert_eq!(serde_json::from_str::<Failure>(&wire).unwrap(), failure);
}

#[test]
fn codes_are_distinct_and_have_words() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    let mut values: Vec<u32> = Code::ALL.iter().map(|code| code.hresult()).collect();
    names.sort_unstable();
    values.sort_unstable();
    names.dedup();
    values.dedup();
    assert_eq!((names.len(), values.len()), (Code::ALL.len(), Code::ALL.len()));
    for code in Code::ALL {
        assert!(code.hresult() >= 0x8000_0000, "{} is no failure", code.name());
        assert!(!code.text().trim().is_empty(), "{} says nothing", code.name());
    }
}

/// WSL's own range ends there, and values 0x16, 0x17, 0x22 and 0x23 are not defined in `wslservice.idl`.
#[test]
fn codes_of_wsl_s_own_range_are_defined_there() {
    for code in Code::ALL.iter().filter(|code| code.name().starts_with("WSL_E_")) {
        let value = code.hresult();
        assert!((0x8004_0301..=0x8004_0332).contains(&value), "{}", code.name());
        assert!(!matches!(value & 0xff, 0x16 | 0x17 | 0x22 | 0x23), "{}", code.name());
    }
}

/// Rows N25, N26 and N31, as far as they are messages.
#[test]
fn what_is_wrong_with_a_download() {
    let of = |expected: &str| {
        let error = crate::wsl::manifest::check(expected, &[0; 32]).unwrap_err();
        Failure::from(error).in_context(Context::InstallDistro).in_context(Context::Wsl).render()
    };
    let zeroes = "0".repeat(64);
    assert_eq!(
        of("0x12"),
        format!(
            "The distribution hash doesn't match. Expected: 0x12, actual hash: 0x{zeroes}\n\
             Error code: Wsl/InstallDistro/VerifyChecksum/TRUST_E_BAD_DIGEST\n"
        )
    );
    assert_eq!(
        of("wrongformat"),
        "Invalid hex string: wrongformat\nError code: Wsl/InstallDistro/VerifyChecksum/E_INVALIDARG\n"
    );
    let error = crate::wsl::manifest::Manifest::parse(b"Bad json", crate::wsl::manifest::Architecture::Amd64);
    let failure = Failure::from(error.unwrap_err());
    assert!(failure.message.starts_with("Invalid JSON document. Parse error: "), "{}", failure.message);
    assert_eq!(failure.code, Code::InvalidJson);
}

/// Rows N04 and N05, as far as they are messages.
#[test]
fn what_is_wrong_with_a_name() {
    let registering = |failure: Failure| {
        failure
            .in_context(Context::RegisterDistro)
            .in_context(Context::Service)
            .in_context(Context::Wsl)
            .render()
    };
    assert_eq!(
        registering(Failure::own_name_taken()),
        "A distribution with the supplied name already exists. Use --name to choose a different name.\n\
         Error code: Wsl/Service/RegisterDistro/ERROR_ALREADY_EXISTS\n"
    );
    assert_eq!(
        registering(Failure::invalid_name("invalid!")),
        "Invalid distribution name: \"invalid!\".\nError code: Wsl/Service/RegisterDistro/E_INVALIDARG\n"
    );
}
