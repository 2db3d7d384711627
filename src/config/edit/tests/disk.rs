//! Files, modes, symlinks, and editors at the same time.

use std::path::Path;

use super::*;

#[cfg(unix)]
#[test]
fn a_symlink_stays_one_and_the_mode_stays_too() {
    let desk = Desk::of(TWO_KEYS);
    fs::create_dir(desk.path("real")).unwrap();
    fs::rename(desk.path("keywheel.toml"), desk.path("real/k.toml")).unwrap();
    std::os::unix::fs::symlink("real/k.toml", desk.path("keywheel.toml")).unwrap();
    desk.permit("real/k.toml", 0o640);

    let saved = desk.edit(|editor| editor.add_key("openai", "c", &variable("C")));
    assert_eq!((saved.mode_before, desk.mode("real/k.toml")), (None, 0o640));
    assert!(fs::symlink_metadata(desk.path("keywheel.toml")).unwrap().is_symlink());
    assert!(desk.read("real/k.toml").contains("env:C"));
    let left: Vec<_> = fs::read_dir(desk.path("real")).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file and no lock is left: {left:?}");

    let stored =
        KeyFields { secret: Some(WrittenSecret::Stored(NewSecret::of_line("sk-s"))), ..KeyFields::default() };
    desk.edit(|editor| editor.add_key("openai", "s", &stored));
    let reference = fs::canonicalize(desk.path("real/keys/openai.s")).unwrap();
    assert!(desk.read("keywheel.toml").contains(&format!("secret = \"file:{}\"", reference.display())));
}

#[cfg(unix)]
#[test]
fn a_secret_in_the_file_makes_it_private() {
    let desk = Desk::of(TWO_KEYS);
    desk.permit("keywheel.toml", 0o644);
    let inline =
        KeyFields { secret: Some(WrittenSecret::Inline(NewSecret::of_line("sk-i"))), ..KeyFields::default() };
    let saved = desk.edit(|editor| editor.add_key("openai", "i", &inline));
    assert_eq!((saved.mode_before, desk.mode("keywheel.toml")), (Some(0o644), 0o600));
}

#[test]
fn a_stored_secret_comes_and_goes_with_its_key() {
    let desk = Desk::of(TWO_KEYS);
    let of = |secret: &str| KeyFields {
        secret: Some(WrittenSecret::Stored(NewSecret::of_line(secret))),
        ..KeyFields::default()
    };
    desk.edit(|editor| editor.add_key("openai", "s", &of("sk-first")));
    assert!(desk.read("keywheel.toml").contains("secret = \"file:keys/openai.s\"\n"));
    assert_eq!(desk.read("keys/openai.s"), "sk-first\n");
    #[cfg(unix)]
    assert_eq!((desk.mode("keys"), desk.mode("keys/openai.s")), (0o700, 0o600));

    let before = desk.read("keywheel.toml");
    desk.edit(|editor| editor.set_key("openai", "s", &of("sk-second")));
    assert_eq!(desk.read("keys/openai.s"), "sk-second\n");
    assert_eq!(desk.read("keywheel.toml"), before);

    desk.edit(|editor| editor.remove_key("openai", "s"));
    assert!(!desk.path("keys/openai.s").exists());

    let refused = desk
        .try_edit(|editor| editor.add_key("openai", "t", &KeyFields { weight: Some(0), ..of("sk-third") }));
    assert!(matches!(refused, Err(EditError::Refused(_))));
    assert!(!desk.path("keys/openai.t").exists(), "an edit that came to nothing leaves no secret");
}

#[test]
fn files_of_others_are_neither_replaced_nor_deleted() {
    let desk = Desk::of(&TWO_KEYS.replace("env:A", "file:mine"));
    fs::write(desk.path("mine"), "sk-mine").unwrap();
    desk.permit("mine", 0o600);
    let secret = WrittenSecret::Stored(NewSecret::of_line("sk-new"));
    let fields = KeyFields { secret: Some(secret), ..KeyFields::default() };
    desk.edit(|editor| editor.set_key("openai", "a", &fields));
    assert_eq!(desk.read("mine"), "sk-mine");
    assert_eq!(desk.read("keys/openai.a"), "sk-new\n");
    desk.edit(|editor| editor.set_key("openai", "a", &variable("A")));
    assert!(!desk.path("keys/openai.a").exists(), "what nobody refers to any more is deleted");
}

#[test]
fn what_killed_edits_left_is_deleted_and_nothing_else() {
    let desk = Desk::of(TWO_KEYS);
    fs::create_dir(desk.path("keys")).unwrap();
    let of_others = [
        ".keywheel.toml.old.Ab12Cd.tmp",
        ".other.toml.Ab12Cd.tmp",
        "keys/.other.toml.Ab12Cd.tmp",
        "keys/a.tmp",
    ];
    for name in [".keywheel.toml.Ab12Cd.tmp", "keys/.keywheel.toml.Ab12Cd.tmp"].iter().chain(&of_others) {
        fs::write(desk.path(name), "sk-half").unwrap();
    }
    desk.edit(|editor| editor.add_key("openai", "c", &variable("C")));
    assert!(
        !desk.path(".keywheel.toml.Ab12Cd.tmp").exists()
            && !desk.path("keys/.keywheel.toml.Ab12Cd.tmp").exists()
    );
    assert!(of_others.iter().all(|name| desk.path(name).exists()));
}

#[test]
fn of_many_editors_at_once_none_loses_anything() {
    const EDITORS: usize = 8;
    const KEYS_EACH: usize = 5;
    let desk = Desk::of(TWO_KEYS);
    std::thread::scope(|scope| {
        for editor in 0..EDITORS {
            let desk = &desk;
            scope.spawn(move || {
                for key in 0..KEYS_EACH {
                    let name = format!("e{editor}-k{key}");
                    desk.edit(|editor| editor.add_key("openai", &name, &variable("SAME")));
                }
            });
        }
    });
    let outline = Editor::open(&desk.source).unwrap().outline().unwrap();
    assert_eq!(outline.providers[0].keys.len(), 2 + EDITORS * KEYS_EACH);
    let left: Vec<_> =
        fs::read_dir(desk.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["keywheel.toml"]);
}

#[test]
fn what_somebody_else_wrote_meanwhile_is_kept() {
    let desk = Desk::of(TWO_KEYS);
    let error = desk
        .try_edit(|editor| {
            fs::write(desk.path("keywheel.toml"), "# mine now\n").unwrap();
            editor.add_key("openai", "c", &variable("C"))
        })
        .unwrap_err();
    assert!(matches!(error, EditError::ChangedMeanwhile { .. }), "{error}");
    assert_eq!(desk.read("keywheel.toml"), "# mine now\n");
}

#[test]
fn a_configuration_is_made_only_where_somebody_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source {
        working_dir: dir.path().to_owned(),
        file: Some(Path::new("new/k.toml").to_owned()),
        ..Source::default()
    };
    assert!(matches!(Editor::open(&source).err(), Some(EditError::Unreadable(_))));
    let mut editor = Editor::open_or_create(&source).unwrap();
    assert!(editor.is_new());
    let new = NewProvider {
        id: "groq".to_owned(),
        preset: Some("groq".to_owned()),
        enabled: true,
        ..NewProvider::default()
    };
    editor.add_provider(&new).unwrap();
    let saved = editor.save().unwrap();
    assert_eq!(saved.home, crate::config::outline(&source).unwrap().home);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join("new/k.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn broken_toml_is_told_without_its_line() {
    let error = Desk::of("[[provider]]\nsecret = \"sk-canary\n").try_edit(|_| Ok(())).unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("keywheel.toml:2:") && !told.contains("canary"), "{told}");
}
