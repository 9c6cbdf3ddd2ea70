//! A thread on a UNIX socket plays the guest, well and badly.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;

use super::*;

/// Long enough for a test that ends by itself.
const ENOUGH: u64 = 20_000;
/// Long enough for a greeting, and short enough to wait for.
const SHORT: u64 = 700;

/// Asks a guest that behaves like this, and returns what came of it. The guest listens before it is asked.
fn asked(
    timeout_ms: u64,
    guest: impl FnOnce(BufReader<UnixStream>) + Send + 'static,
) -> Result<Ran, NoAnswer> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let guest = thread::spawn(move || guest(BufReader::new(listener.accept().unwrap().0)));
    let answer = ask(&spec(&path, timeout_ms));
    guest.join().unwrap();
    answer
}

fn spec(socket: &Path, timeout_ms: u64) -> AskSpec {
    AskSpec {
        socket: socket.to_str().unwrap().into(),
        say: "read 80 16".into(),
        timeout_ms,
    }
}

/// The next line that the guest is sent; none if the asker has gone.
fn hears(asker: &mut BufReader<UnixStream>) -> Option<String> {
    let mut line = String::new();
    match asker.read_line(&mut line) {
        Ok(1..) => Some(line.trim_end().into()),
        _ => None,
    }
}

/// Sends a text. Whether the asker still listens is for the asker to say.
fn says(asker: &mut BufReader<UnixStream>, text: &str) {
    let _ = asker.get_mut().write_all(text.as_bytes());
}

/// Answers every `hello`, and returns the first other line.
fn greets(asker: &mut BufReader<UnixStream>) -> Option<String> {
    loop {
        match hears(asker)?.as_str() {
            "" => {}
            line => match line.strip_prefix("hello ") {
                Some(word) => says(asker, &format!("{RUNS} {word}\nok\n")),
                None => return Some(line.into()),
            },
        }
    }
}

/// Says this as the answer to the command, and waits for the asker to go.
fn answers(text: &'static str) -> impl FnOnce(BufReader<UnixStream>) + Send + 'static {
    move |mut asker| {
        assert_eq!(greets(&mut asker).as_deref(), Some("read 80 16"));
        says(&mut asker, text);
        assert_eq!(hears(&mut asker), None, "a command is sent once");
    }
}

fn texts(ran: &Ran) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (ran.exit, text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn an_answer_is_what_a_program_would_print() {
    let ran = asked(ENOUGH, answers("one\r\ntwo\nok\nmore\n")).unwrap();
    assert_eq!(texts(&ran), (Some(0), "one\ntwo\nok\n", ""));
    assert!(!ran.stdout_cut && ran.signal.is_none());
}

#[test]
fn an_error_is_an_exit_status() {
    let ran = asked(ENOUGH, answers("error: no disk\n")).unwrap();
    let why = "the guest answers `error: no disk`";
    assert_eq!(texts(&ran), (Some(1), "error: no disk\n", why));
}

#[test]
fn what_is_old_is_not_the_answer() {
    let ran = asked(ENOUGH, |mut asker| {
        says(&mut asker, "left over\nok\nerror: left over\nand this has no end");
        // The first two are lost: the guest is not up yet, and then it says that it is.
        assert_eq!(hears(&mut asker).as_deref(), Some(""));
        let first = hears(&mut asker).unwrap();
        assert!(hears(&mut asker).unwrap() > first);
        says(&mut asker, &format!("\n{RUNS}\n"));
        let third = hears(&mut asker).unwrap();
        // An old greeting does not count.
        let word = |hello: &str| hello.strip_prefix("hello ").unwrap().to_string();
        says(&mut asker, &format!("{RUNS} {}\nok\nold\n", word(&first)));
        says(&mut asker, &format!("{RUNS} {}\nok\n", word(&third)));
        answers("new\nok\n")(asker);
    })
    .unwrap();
    assert_eq!(texts(&ran), (Some(0), "new\nok\n", ""));
}

#[test]
fn a_socket_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/guest.sock");
    let there = path.clone();
    let guest = thread::spawn(move || {
        std::fs::create_dir(there.parent().unwrap()).unwrap();
        // Nobody listens on the first one, and the second one is left at once.
        drop(UnixListener::bind(&there).unwrap());
        thread::sleep(RETRY);
        std::fs::remove_file(&there).unwrap();
        let listener = UnixListener::bind(&there).unwrap();
        drop(listener.accept().unwrap());
        answers("ok\n")(BufReader::new(listener.accept().unwrap().0));
    });
    let ran = ask(&spec(&path, ENOUGH)).unwrap();
    assert_eq!(texts(&ran), (Some(0), "ok\n", ""));
    guest.join().unwrap();
}

#[test]
fn nobody_is_waited_for_until_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.sock");
    let error = ask(&spec(&path, 50)).unwrap_err();
    assert!(matches!(error, NoAnswer::Connect { .. }), "{error}");
    // A listener that takes nobody in, with a full queue.
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let error = ask(&spec(&path, 200)).unwrap_err();
    assert!(matches!(error, NoAnswer::Connect { .. }), "{error}");
    // A path that no socket can have.
    let long = dir.path().join("x".repeat(200));
    assert!(matches!(
        ask(&spec(&long, ENOUGH)).unwrap_err(),
        NoAnswer::Connect { .. }
    ));
}

#[test]
fn a_guest_that_is_silent_has_a_deadline() {
    let silent = |mut asker: BufReader<UnixStream>| while hears(&mut asker).is_some() {};
    let error = asked(SHORT, silent).unwrap_err();
    assert!(matches!(error, NoAnswer::Hello { .. }), "{error}");
    let error = asked(SHORT, answers("half an ans")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`read 80 16`") && text.contains("half an ans"),
        "{text}"
    );
}

/// Sends the text again and again until the asker goes.
fn floods(mut asker: BufReader<UnixStream>, text: &str) {
    while asker.get_mut().write_all(text.as_bytes()).is_ok() {}
}

#[test]
fn a_flood_instead_of_a_greeting_ends_at_the_deadline() {
    for text in ["vaac: the guest runs\n", "\0\u{fffd}no end", "ok\nerror: x\n"] {
        let start = Instant::now();
        let error = asked(SHORT, move |asker| floods(asker, text)).unwrap_err();
        let NoAnswer::Hello { last, .. } = &error else {
            panic!("{error}");
        };
        assert!(last.len() <= 3 * LAST_WORDS);
        assert!(start.elapsed() < Duration::from_secs(10), "{text:?}");
    }
}

#[test]
fn a_flood_instead_of_an_answer_is_cut() {
    for text in ["a line\n", "\0\u{fffd}no end"] {
        let ran = asked(ENOUGH, move |mut asker| {
            greets(&mut asker);
            floods(asker, text);
        })
        .unwrap();
        assert_eq!(ran.exit, Some(1));
        assert!(ran.stdout_cut && ran.stdout.len() <= KEPT, "{text:?}");
    }
}

#[test]
fn a_guest_that_goes_away_has_not_answered() {
    let ran = asked(ENOUGH, |mut asker| {
        greets(&mut asker);
        says(&mut asker, "half\nok");
    })
    .unwrap();
    assert_eq!(
        texts(&ran),
        (Some(1), "half\n", "the guest is gone before its answer ends")
    );
}
