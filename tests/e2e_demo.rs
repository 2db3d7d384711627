//! `keywheel demo`: a newcomer's first command, without any key and without any file.

mod support;

use keywheel::demo::PROMPTS;

use support::program::Desk;

#[test]
fn the_demo_serves_every_prompt_and_says_what_happened() {
    let ended = Desk::empty().run(&["demo", "--json"]);
    let summary = ended.exited(0).summary();
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(["rows", "ok"].map(numbers), [PROMPTS as u64; 2]);
    assert_eq!(["failed", "invalid", "lost", "not_run"].map(numbers), [0; 4]);
    assert!(numbers("fell_over") > 0, "{summary}");

    let told = |what: &str| assert!(ended.stderr.contains(what), "`{what}` isn't told:\n{}", ended.stderr);
    told("alpha/k9 is disabled: bad_credential");
    told("alpha/k4 is failed");
    told("beta takes over jobs of alpha");
    told("alpha rests as a whole");
    told("alpha is well again");
    told(&format!("{PROMPTS} ok, 0 failed, 0 invalid, none lost"));

    let status = |name: &str| {
        let mut keys = summary["keys"].as_array().expect("a list").iter();
        let key =
            keys.find(|key| key["provider"] == "alpha" && key["key"] == name).expect("the key is listed");
        (key["status"].as_str().expect("a word").to_owned(), key["calls"].as_u64().expect("a number"))
    };
    let (dead, wasted) = status("k9");
    assert_eq!(dead, "disabled");
    assert!(wasted <= 3, "{wasted} calls on a dead key");
    assert_eq!(status("k4").0, "failed");
}
