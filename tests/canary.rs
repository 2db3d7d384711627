//! Keys with recognisable secrets through every surface, against a provider that repeats them; then a search
//! of everything written, in every usual encoding, that finds nothing. A test, not a promise.

mod support;

#[path = "canary/forms.rs"]
mod forms;
#[path = "canary/parrot.rs"]
mod parrot;
#[path = "canary/search.rs"]
mod search;

#[path = "canary/gateway.rs"]
mod gateway;
#[path = "canary/mistakes.rs"]
mod mistakes;
#[path = "canary/secrets.rs"]
mod secrets;
#[path = "canary/study.rs"]
mod study;
#[path = "canary/wheel.rs"]
mod wheel;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use parrot::{ANSWERS, Parrot};
use search::{Haul, Search, everything_below, open_to_others};
use secrets::{RECOGNISABLE, SECRETS, secret};
use study::{Study, ask, ask_tcp, body_of, everything, private, provider, quoted, row, take_output};
use support::program::Desk;

#[test]
fn the_search_finds_what_it_looks_for() {
    let search = Search::of(&SECRETS);
    for (name, secret) in SECRETS {
        for (form, text) in forms::written(secret) {
            for (before, after) in [("", ""), ("x", "y"), ("{\"message\":\"", "\"}"), ("%22", "%22")] {
                let planted = format!("{before}{text}{after}");
                let found = search.find(planted.as_bytes());
                assert!(found.iter().any(|found| found.starts_with(name)), "{name} as {form}: {planted}");
            }
        }
        if secret.len() >= 20 {
            let part = &secret[9..18];
            assert!(!search.find(part.as_bytes()).is_empty(), "a part of {name}: {part}");
        }
        let masked = keywheel_actors::secret::Secret::new(secret).masked();
        assert_eq!(search.find(masked.as_bytes()), [""; 0], "a mask is no find");
    }
    assert_eq!(search.find(b"the quick brown fox, 0123456789, and a lazy dog"), [""; 0]);
}

#[test]
fn a_batch_of_every_answer_to_every_secret() {
    let parrot = Parrot::start();
    let (config, rows) = everything(&parrot);
    let mut study = Study::new(&config);
    study.desk = study.desk.with("rows.jsonl", &rows);
    for (output, extra) in
        [("out.jsonl", &["--json"][..]), ("again.jsonl", &["--set", "state.dir=elsewhere"])]
    {
        let words = ["batch", "rows.jsonl", "-o", output, "--attempts", "2"];
        study.run(3, &[&words, extra].concat());
    }
    let said = parrot.said();
    for case in ANSWERS {
        for (name, secret) in SECRETS {
            assert!(said.contains(&(case.to_owned(), secret.to_owned())), "{case} never said {name}");
        }
    }
    for output in ["out.jsonl", "again.jsonl"] {
        take_output(&mut study.haul, &study.desk.read(output));
    }
    study.run_both(0, &["failures"]);
    study.run_both(0, &["failures", "--summary"]);
    study.run_both(0, &["provider", "keys", "status"]);
    study.run_both(0, &["provider", "keys", "stats"]);
    study.run_both(3, &["provider", "keys", "test"]);
    assert!(parrot.said().len() > said.len(), "the tests of keys called nobody");

    // What is private stays so; the input and the answers are as open as their directory.
    let others = open_to_others(&study.desk.path(""));
    let ours = ["rows.jsonl", ".local", ".local/state", ".local/state/keywheel"];
    let is_answer = |name: &str| name.starts_with("out.") || name.starts_with("again.");
    let opened: Vec<&String> =
        others.iter().filter(|name| !ours.contains(&name.as_str()) && !is_answer(name)).collect();
    assert!(opened.is_empty(), "others may look into {opened:?}");
    study.end(&|name| ["keywheel.toml", "out.jsonl", "again.jsonl"].contains(&name));
}

#[test]
fn every_verb_about_keys() {
    let parrot = Parrot::start();
    let mut study = Study::new(&provider("p", &parrot.url("401-json"), secret("project")));
    let add = ["provider", "keys", "add", "--provider", "p"];
    let more = |words: &[&'static str]| [&add[..], words].concat();
    study.run_fed(0, &more(&["--name", "stdin", "--stdin"]), secret("escapes"));
    study.run_fed(0, &more(&["--name", "stdin-json", "--stdin", "--json"]), secret("spaces"));
    study.run(0, &more(&["--name", "typed", "--key", secret("escaped already")]));
    study.run(0, &more(&["--name", "file", "--from-file", "secret-4", "--json"]));
    study.run(0, &more(&["--name", "variable", "--env", "CANARY_5"]));
    study.run_fed(0, &more(&["--name", "inline", "--inline", "--stdin"]), secret("prefix"));
    study.run(0, &more(&["--name", "file-inline", "--inline", "--from-file", "secret-8"]));
    study.run(0, &more(&["--name", "typed-inline", "--inline", "--key", secret("short"), "--json"]));
    study.run(0, &["provider", "add", "q", "--preset", "gemini", "--key", secret("gemini"), "--json"]);
    study.run_fed(0, &["provider", "add", "groq", "--stdin"], secret("open"));

    // A few mistakes of those who add.
    let again = [secret("escapes"), "\n"].concat();
    study.run_fed(2, &more(&["--stdin"]), &again);
    study.run(2, &more(&["--key", secret("spaces")]));
    study.run_fed(2, &more(&["--stdin"]), &format!("{} \n", secret("anthropic")));
    study.run_fed(2, &more(&["--stdin"]), &format!("env:{}", secret("anthropic")));
    study.run_fed(2, &more(&["--stdin"]), &format!("${}", secret("anthropic")));
    study.run_fed(2, &more(&["--stdin", "--env", "X"]), secret("anthropic"));
    for (_, secret) in SECRETS {
        study.run(2, &more(&[secret]));
        study.run(2, &more(&["--stdin", "--key", secret]));
    }
    for name in RECOGNISABLE {
        study.run(2, &more(&["--env", secret(name)]));
    }

    let table = format!(
        "name,secret,weight,rpm\nfine,{0},1,5\nheavy,{0},x,5\nlong,{0},1,5,{0}\n\"torn,{0}\n",
        secret("hexadecimal")
    );
    let import = ["provider", "keys", "import", "--provider", "p"];
    study.run_fed(2, &import, &table);
    study.run_fed(2, &import, &format!("name,secret,rpm\n\"a\"b,{},x\n", secret("hexadecimal")));
    study.run_fed(2, &import, &format!("{}\n{0} \t{0}\n\u{7f}{0}\n", secret("hexadecimal")));
    let last =
        format!("# {0}\nname,secret\nfirst,{0}\nagain,{1}\n", secret("hexadecimal"), secret("project"));
    study.run_fed(0, &[&import[..], &["--skip-duplicates", "--json"]].concat(), &last);

    let set = ["provider", "keys", "set", "--provider", "p", "--key"];
    study.run_fed(0, &[&set[..], &["stdin", "--secret-stdin"]].concat(), secret("shortest"));
    study.run(0, &[&set[..], &["file", "--secret-file", "secret-11", "--json"]].concat());
    study.run(0, &[&set[..], &["typed", "--secret-env", "CANARY_4", "--rpm", "7"]].concat());
    study.run_both(0, &["provider", "list"]);
    study.run_both(0, &["provider", "keys", "list"]);
    study.run_both(0, &["provider", "keys", "disable", "--key", "p/inline"]);
    study.run_both(0, &["provider", "keys", "enable", "--key", "p/inline"]);
    study.run_both(0, &["provider", "keys", "rest", "--key", "p/inline", "--for", "1h"]);
    study.run_both(0, &["provider", "keys", "status"]);
    study.run_both(0, &["provider", "keys", "reset", "--key", "p/inline"]);
    study.run_both(0, &["provider", "keys", "stats"]);
    study.run_both(3, &["provider", "keys", "test", "--provider", "p"]);
    study.run_both(3, &["provider", "test", "p"]);
    study.run_both(0, &["config", "check"]);
    study.run_both(0, &["config", "show"]);
    let show = ["config", "show", "--config", "single.toml"];
    for (_, secret) in SECRETS {
        let single = format!("[[provider]]\nid = \"s\"\npreset = \"openai\"\napi_key = {}\n", quoted(secret));
        study.desk = study.desk.with("single.toml", &single);
        private(&study.desk.path("single.toml"));
        study.run_both(0, &show);
        let flag = format!("provider.s.api_key={secret}");
        study.run(0, &[&show[..], &["--set", &flag]].concat());
        study.environment.push(("KEYWHEEL__PROVIDER__S__API_KEY".to_owned(), secret.to_owned()));
        study.run(0, &[&show[..], &["--json"]].concat());
        study.environment.truncate(SECRETS.len());
    }
    study.run(0, &["provider", "keys", "remove", "--key", "p/stdin", "--yes", "--json"]);
    study.run(0, &["provider", "remove", "groq", "--yes"]);
    let opened = open_to_others(&study.desk.path(""));
    assert!(opened.iter().all(|name| name.starts_with(".local")), "others may look into {opened:?}");
    study.end(&|name| ["keywheel.toml", "single.toml"].contains(&name) || name.starts_with("keys/"));
}

#[test]
fn a_secret_typed_in_a_wrong_place() {
    let mut study = Study::new(&provider("p", "http://127.0.0.1:9/v1", "env:CANARY_0"));
    for name in ["project", "gemini", "hexadecimal"] {
        let typed = secret(name);
        let (path, unknown) = (format!("provider.p.key.k.{typed}=1"), format!("provider.p.sekret={typed}"));
        let (weight, by_name) =
            (format!("provider.p.key.k.weight={typed}"), format!("provider.{typed}.id=x"));
        let flag = format!("--{typed}");
        let (user, query) =
            (format!("http://u:{typed}@127.0.0.1/v1"), format!("https://h.example/v1?key={typed}"));
        let (word, field) = (format!("{typed}=x"), format!("provider.p.{typed}"));
        let twice: [&[&str]; 10] = [
            &["config", "check", "--set", &path],
            &["config", "check", "--set", &unknown],
            &["config", "check", "--set", &weight],
            &["config", "check", "--set", &by_name],
            &["config", "check", "--set", &word],
            &["provider", "keys", "disable", "--key", typed],
            &["provider", "keys", "list", "--provider", typed],
            &["provider", "keys", "set", "--key", "k", typed],
            &["provider", "keys", "test", "--key", typed],
            &["config", "show", &field],
        ];
        for words in twice {
            study.run_both(2, words);
        }
        let once: [&[&str]; 19] = [
            &[typed],
            &[&flag],
            &["provider", typed],
            &["provider", "keys", typed],
            &["provider", "keys", "list", typed],
            &["provider", "keys", "set", "--key", "k", "--weight", typed],
            &["provider", "add", typed],
            &["provider", "add", "x", "--preset", typed],
            &["provider", "add", "x", "--dialect", typed, "--base-url", "https://h.example"],
            &["provider", "add", "x", "--dialect", "openai", "--base-url", &user],
            &["provider", "add", "x", "--dialect", "openai", "--base-url", &query],
            &["provider", "remove", typed, "--yes"],
            &["config", "show", typed],
            &["config", "check", "--set", typed],
            &["config", "check", "--log-format", typed],
            &["batch", typed, "-o", "out"],
            &["batch", "rows", "-o", "out", "--attempts", typed],
            &["failures", "--reason", typed],
            &["failures", "--since", typed],
        ];
        for words in once {
            study.run(2, words);
        }
        study.environment.push(("KEYWHEEL__PROVIDER__P__SEKRET".to_owned(), typed.to_owned()));
        study.environment.push(("KEYWHEEL__PROVIDER__P__KEY__K__WEIGHT".to_owned(), typed.to_owned()));
        study.run_both(2, &["config", "check"]);
        study.environment.truncate(SECRETS.len());
    }
    study.end(&|_| false);
}

#[test]
fn a_configuration_with_mistakes_around_its_secrets() {
    let mut study = Study::new("");
    let wrong = mistakes::all();
    // There is an odd number of each kind, so that every mistake is told in both forms.
    let check = [&["config", "check"][..], &["config", "check", "--json"]];
    for (number, text) in wrong.iter().enumerate() {
        study.desk = study.desk.with("keywheel.toml", text);
        study.run(2, check[number % 2]);
        if number % 8 == 0 {
            study.run_both(2, &["config", "show"]);
            study.run(2, &["batch", "rows", "-o", "out"]);
        }
    }
    study.end(&|name| name == "keywheel.toml");
}

#[test]
fn the_prototypes_file_on_its_way_to_ours() {
    let mut study = Study::new("");
    fs::remove_file(study.desk.path("keywheel.toml")).expect("it was there");
    let [a, b, c, d] = ["project", "escapes", "spaces", "gemini"].map(secret);
    let old = json!({
        "openai": {
            "apiKey": a, "apiKeys": [b, { "value": c, "label": "c", "note": "not a key" }],
            "baseUrl": "https://h.example/v1", "headers": { "Authorization": format!("Bearer {a}") },
            "clientSecret": secret("escaped already"), "weight": { "x": b },
        },
        "gemini": { "api_key": d, "token": [secret("prefix")], "extra": { "deep": { "password": secret("spaces") } } },
        "odd": { "type": "openai-compatible", "baseUrl": format!("https://h.example/v1?key={a}"), "apiKey": [[b]] },
        "defaultKey": d,
    });
    let text = serde_json::to_string_pretty(&old).expect("it is JSON");
    study.desk = study.desk.with("providers.json", &text);
    private(&study.desk.path("providers.json"));
    study.run_both(0, &["config", "check"]);
    study.run_both(0, &["config", "show"]);
    for words in [&["config", "migrate", "--dry-run"][..], &["config", "migrate", "--dry-run", "--inline"]] {
        study.run_both(3, words);
    }
    study.run(3, &["config", "migrate"]);
    study.run(3, &["config", "migrate", "--to", "again.toml", "--json"]);
    study.run(3, &["config", "migrate", "--to", "inline.toml", "--inline", "--json"]);
    study.run(2, &["config", "migrate", "--json"]);
    let opened = open_to_others(&study.desk.path(""));
    assert!(opened.iter().all(|name| name.starts_with(".local")), "others may look into {opened:?}");
    for place in [text.find(a), text.find("Bearer"), Some(text.len() - 9)] {
        let torn = &text[..place.expect("it is there") + 7];
        study.desk = study.desk.with("torn.json", torn);
        study.run_both(2, &["config", "migrate", "--from", "torn.json", "--to", "torn.toml"]);
        study.run_both(2, &["config", "check", "--config", "torn.json"]);
    }
    let meant = ["providers.json", "torn.json", "inline.toml"];
    study.end(&|name| meant.contains(&name) || name.starts_with("keys/"));
}

#[test]
fn a_running_keywheel_and_its_socket() {
    let parrot = Parrot::start();
    let ill = ["401-json", "429-hints", "500-words"].iter().zip(["project", "escapes", "gemini"]);
    let ill: String = ill.map(|(case, name)| provider(case, &parrot.url(case), secret(name))).collect();
    let config = provider("wait", &parrot.url("wait"), secret("spaces"))
        + &ill
        + &format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {}\n", quoted(secret("hexadecimal")))
        + "[[route]]\nmodel = \"m\"\ncandidates = [\"401-json/m\", \"429-hints/m\", \"500-words/m\", \"wait/m\"]\n\
           [rotation]\nfallback_after = \"1ms\"\n";
    let mut study = Study::new(&config);
    study.desk = study.desk.with("rows.jsonl", &row("one", "m"));
    let words = ["--log", "trace", "batch", "rows.jsonl", "-o", "out.jsonl", "--attempts", "9", "--json"];
    let program = study.desk.start(&words, &study.environment());
    parrot.until_asked_to_wait();

    let proc = format!("/proc/{}", program.pid());
    let cmdline = fs::read(Path::new(&proc).join("cmdline")).expect("it runs");
    assert!(cmdline.windows(5).any(|word| word == b"batch"));
    study.haul.take("its command line", &cmdline);

    let below = everything_below(&study.desk.path(""));
    let socket = below.into_iter().find(|(_, name)| name.ends_with("/admin.sock"));
    let socket = socket.expect("there is a socket").0;
    let hostile = secret("anthropic");
    let order = |key: &str, order: Value| {
        json!({ "key": { "provider": key, "key": key }, "order": order }).to_string()
    };
    let nonsense = [hostile.to_owned(), quoted(hostile), format!("{{\"key\":{}}}", quoted(hostile))];
    for (request, body, told) in [
        ("GET /v1/status".to_owned(), String::new(), " 200 "),
        ("GET /v1/stats".to_owned(), String::new(), " 200 "),
        ("DELETE /v1/status".to_owned(), String::new(), " 405 "),
        (format!("GET /v1/status?key={hostile}"), String::new(), " 200 "),
        ("GET /v1/failures".to_owned(), String::new(), "call_failed"),
        (format!("GET /v1/history?since={hostile}"), String::new(), " 200 "),
        ("GET /".to_owned(), String::new(), " 200 "),
        (format!("GET /{hostile}"), String::new(), " 404 "),
        (format!("GET /v1/{hostile}/x"), String::new(), " 404 "),
        (format!("{hostile} /v1/status"), String::new(), "HTTP"),
        ("POST /v1/order".to_owned(), nonsense[0].clone(), " 400 "),
        ("POST /v1/order".to_owned(), nonsense[1].clone(), " 400 "),
        ("POST /v1/order".to_owned(), nonsense[2].clone(), " 400 "),
        ("POST /v1/order".to_owned(), order(hostile, json!({ "order": "reset" })), " 404 "),
        ("POST /v1/order".to_owned(), order("wait", json!({ "order": hostile })), " 400 "),
        ("POST /v1/order".to_owned(), order("wait", json!({ hostile: 1 })), " 400 "),
        ("POST /v1/reload".to_owned(), String::new(), " 200 "),
    ] {
        let answer = ask(&socket, &request, &body);
        assert!(String::from_utf8_lossy(&answer).contains(told), "{request} {body}: {answer:?}");
        study.haul.take(&format!("the answer to {request} {body}"), &answer);
    }
    let status: Value = serde_json::from_slice(&body_of(&ask(&socket, "GET /v1/status", ""))).expect("JSON");
    let url = status["source"]["dashboard"].as_str().expect("it listens over TCP, too");
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let token = secret("hexadecimal");
    let shown = |token: &str| format!("authorization: Bearer {token}\r\n");
    for (request, headers, body, told) in [
        ("GET /v1/failures", shown(token), String::new(), "call_failed"),
        ("GET /v1/status", shown(hostile), String::new(), " 401 "),
        ("GET /v1/status", format!("cookie: {hostile}={hostile}\r\n"), String::new(), " 401 "),
        ("GET /v1/status", format!("origin: {hostile}\r\n"), String::new(), " 403 "),
        ("POST /v1/login", String::new(), json!({ "token": token }).to_string(), "set-cookie"),
        ("POST /v1/login", String::new(), json!({ "token": hostile }).to_string(), " 401 "),
        ("POST /v1/login", String::new(), json!({ token: token }).to_string(), " 400 "),
        ("POST /v1/login", String::new(), quoted(token), " 400 "),
        ("POST /v1/login", String::new(), format!("token={token}"), " 400 "),
    ] {
        let answer = ask_tcp(&address, request, &headers, &body);
        assert!(String::from_utf8_lossy(&answer).contains(told), "{request} {headers} {body}: {answer:?}");
        study.haul.take(&format!("the answer to {request} over TCP"), &answer);
    }
    let follower = study.desk.start(&["--log", "trace", "events", "--json"], &study.environment());
    study.run_both(0, &["provider", "keys", "status"]);
    study.run_both(0, &["provider", "keys", "stats"]);
    study.run_both(0, &["failures"]);
    study.run_both(0, &["provider", "keys", "disable", "--key", "429-hints/k"]);
    study.run_fed(
        0,
        &["provider", "keys", "set", "--key", "401-json/k", "--secret-stdin"],
        secret("prefixed"),
    );

    let wrong = format!("{config}\n[{hostile}]\nsecret = {}\n", quoted(secret("open")));
    study.desk = study.desk.with("keywheel.toml", &wrong);
    let answer = ask(&socket, "POST /v1/reload", "");
    assert!(String::from_utf8_lossy(&answer).contains("there is no field"), "it was taken over");
    study.haul.take("the refusal of a reload", &answer);
    parrot.release();
    let ended = program.end();
    ended.exited(0);
    study.take("the batch that waited", &ended);
    let ended = follower.end();
    study.take("who followed it", &ended);
    study.end(&|name| name == "keywheel.toml" || name.starts_with("keys/"));
}

#[test]
fn a_gateway_and_what_it_writes() {
    gateway::in_front_of(&Parrot::start());
}

/// The actors themselves, in a process of their own: this test again, with a variable that says so.
#[test]
fn a_wheel_that_streams_and_crashes() {
    if let Ok(addr) = std::env::var(wheel::PARROT_VARIABLE) {
        return wheel::live_through_everything(&addr);
    }
    let parrot = Parrot::start();
    let itself = std::env::current_exe().expect("it runs");
    let mut child = Command::new(itself);
    child.args(["--exact", "a_wheel_that_streams_and_crashes", "--nocapture"]);
    child.env(wheel::PARROT_VARIABLE, parrot.addr().to_string()).env("RUST_BACKTRACE", "full");
    let ended = child.output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{out}\n{err}");
    assert_eq!(
        out.matches("the end of").count(),
        parrot::STREAMS.len() * SECRETS.len() + wheel::CRASHES,
        "{out}"
    );
    assert!(err.matches("panicked at").count() >= 2, "nothing crashed:\n{err}");
    assert!(err.contains("stack backtrace"), "{err}");
    let mut haul = Haul::new(Search::of(&SECRETS));
    haul.take("stdout", &ended.stdout);
    haul.take("stderr", &ended.stderr);
    haul.assert_clean();
}

#[test]
fn a_demo_shows_not_even_the_keys_that_it_made_up() {
    let keys: Vec<String> = (0..10).map(|number| format!("sk-{number}")).collect();
    let keys: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), key.as_str())).collect();
    let ended = Desk::empty().run(&["--log", "trace", "demo", "--json"]);
    let mut haul = Haul::new(Search::of(&keys));
    haul.take("stdout", ended.exited(0).stdout.as_bytes());
    haul.take("stderr", ended.stderr.as_bytes());
    haul.assert_clean();
}
