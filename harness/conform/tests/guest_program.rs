//! The guest that answers: its program in the fixture is assembled from its source, and does what docs/cases.md says.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use serde_json::{Value, json};
use virt_aa_probe::pidfd;
use virt_aa_probe::wait::until_ready;

/// How long QEMU may take to start, a guest to answer, and QEMU to end.
const LIMIT: Duration = Duration::from_secs(30);
/// The most lines of an answer.
const LINES: usize = 64;
const SECTOR: u64 = 512;
/// The first sector that is not the program's: the fixture's fact `text-sector`.
const TEXT_SECTOR: u64 = 16;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/fixtures")
}

/// The fixture's text before the program, the program in base64, and the text after it.
fn embedded(fixture: &str) -> (&str, &str, &str) {
    let (before, rest) = fixture.split_once("<<'END'\n").unwrap();
    let (program, _) = rest.split_once("  END\n").unwrap();
    (
        &fixture[..before.len() + "<<'END'\n".len()],
        program,
        &rest[program.len()..],
    )
}

/// Run a tool, which must succeed, and return what it prints.
fn tool(program: &str, arguments: &[&str], dir: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; ci/setup installs it"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    output.stdout
}

/// The program, assembled from its source in this folder.
fn assembled(dir: &Path) -> PathBuf {
    let source = fixtures().join("boot-disk.S");
    tool("as", &["--32", "-o", "o", source.to_str().unwrap()], dir);
    tool(
        "ld",
        &["-m", "elf_i386", "-Ttext", "0x7c00", "-o", "elf", "o"],
        dir,
    );
    tool("objcopy", &["-O", "binary", "elf", "program"], dir);
    dir.join("program")
}

#[test]
fn the_fixture_has_the_program_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let program = assembled(dir.path());
    let size = fs::metadata(&program).unwrap().len();
    assert!(
        size.is_multiple_of(SECTOR) && size <= TEXT_SECTOR * SECTOR,
        "{size}"
    );
    let text = tool("base64", &["--wrap=76", "program"], dir.path());
    let text: String = String::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    let path = fixtures().join("boot-disk.yaml");
    let fixture = fs::read_to_string(&path).unwrap();
    let (before, program, after) = embedded(&fixture);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{text}{after}")).unwrap();
        return;
    }
    assert!(
        program == text,
        "boot-disk.S has changed; UPDATE_EXPECT=1 writes its program into boot-disk.yaml"
    );
    assert!(fixture.contains(&format!("text_sector={TEXT_SECTOR}\n")));
}

/// One end of a connection to QEMU, with a deadline for each line.
struct Lines(BufReader<UnixStream>);

impl Lines {
    fn accept(listener: &UnixListener) -> Lines {
        let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let comes = until_ready(&mut waiting, Some(Instant::now() + LIMIT)).unwrap();
        assert!(comes, "QEMU does not start");
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Lines(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ends after {line:?}");
        line.trim_end().to_string()
    }
}

/// QEMU with the guest. Its first disk has the program, and its second one has data.
struct Machine {
    qemu: Child,
    serial: Lines,
    qmp: Lines,
    dir: tempfile::TempDir,
}

impl Machine {
    /// Start it, and wait until the guest is up.
    fn start() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str, sectors: u64, at: u64, text: &str| {
            let mut options = fs::File::options();
            options.write(true).create(true).truncate(false);
            let file = options.open(dir.path().join(name)).unwrap();
            file.set_len(sectors * SECTOR).unwrap();
            file.write_all_at(text.as_bytes(), at * SECTOR).unwrap();
        };
        fs::rename(assembled(dir.path()), dir.path().join("boot")).unwrap();
        disk("boot", 2048, TEXT_SECTOR, "vaac: the guest reads its disk");
        disk("data", 4096, 3, "data\x01in sector 3");
        disk("hot", 8, 0, "");
        disk("floppy", 2880, 100, "in sector 100");
        disk("cd", 80, 0, "");
        let listen = |name| UnixListener::bind(dir.path().join(name)).unwrap();
        let (serial, qmp) = (listen("serial"), listen("qmp"));
        // Their paths are relative, because a socket's path has a limit.
        let qemu = Command::new("qemu-system-x86_64")
            .args("-machine pc -accel tcg -m 32 -nodefaults -display none".split(' '))
            .args(["-drive", "file=boot,format=raw,if=ide"])
            .args(["-drive", "file=data,format=raw,if=virtio"])
            .args(["-drive", "file=floppy,format=raw,if=floppy"])
            .args(["-drive", "file=cd,format=raw,if=ide,media=cdrom,index=2"])
            .args(["-drive", "file=hot,format=raw,if=none,id=hot"])
            .args([
                "-chardev",
                "socket,id=serial,path=serial",
                "-serial",
                "chardev:serial",
            ])
            .args(["-chardev", "socket,id=qmp,path=qmp", "-mon", "qmp,mode=control"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut machine = Machine {
            qemu,
            qmp: Lines::accept(&qmp),
            serial: Lines::accept(&serial),
            dir,
        };
        machine.qmp("qmp_capabilities", &json!({}));
        assert_eq!(machine.serial.next(), "vaac: the guest runs");
        machine
    }

    /// The guest's answer to a line.
    fn asked(&mut self, line: &str) -> Vec<String> {
        self.serial.send(&format!("{line}\n"));
        let mut answer = Vec::new();
        while answer.len() < LINES {
            answer.push(self.serial.next());
            if answer
                .last()
                .is_some_and(|line| line == "ok" || line.starts_with("error: "))
            {
                return answer;
            }
        }
        panic!("{line}: an answer without an end: {answer:?}");
    }

    /// Have QEMU perform a command.
    fn qmp(&mut self, command: &str, arguments: &Value) {
        let command = json!({"execute": command, "arguments": arguments});
        self.qmp.send(&format!("{command}\n"));
        let answer = self.awaits(|message| message.get("return").or(message.get("error")).is_some());
        assert!(answer.get("error").is_none(), "{command}: {answer}");
    }

    /// QEMU's next message of this kind.
    fn awaits(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..LINES {
            let message = serde_json::from_str(&self.qmp.next()).unwrap();
            if wanted(&message) {
                return message;
            }
        }
        panic!("QEMU does not say what is awaited");
    }

    /// QEMU ends by itself, as it does when its guest is off.
    fn ends(&mut self) {
        let pid = self.qemu.id().cast_signed();
        assert!(
            pidfd::await_end(pid, Instant::now() + LIMIT).unwrap(),
            "QEMU goes on"
        );
        assert!(self.qemu.wait().unwrap().success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[test]
fn each_command_has_its_answer() {
    let mut machine = Machine::start();
    let at_limit = "x".repeat(64);
    let place = "error: it needs a drive in hex and the number of a sector";
    let too_long = "error: the line is too long";
    let no_command = "error: there is no such command";
    let exchanges: &[(&str, &[&str])] = &[
        ("hello", &["vaac: the guest runs", "ok"]),
        ("hello 17", &["vaac: the guest runs 17", "ok"]),
        ("\n\r\nhello\r", &["vaac: the guest runs", "ok"]),
        (
            "disks",
            &[
                "00 2880 sectors of 512 bytes",
                "80 2048 sectors of 512 bytes",
                "81 4096 sectors of 512 bytes",
                "e0 some sectors of 2048 bytes",
                "ok",
            ],
        ),
        ("read 80 16", &["vaac: the guest reads its disk", "ok"]),
        ("read 81 3", &["data.in sector 3", "ok"]),
        ("read 81 4", &["", "ok"]),
        ("write 81 4 two  words", &["ok"]),
        ("read 81 4", &["two  words", "ok"]),
        ("write 81 4", &["ok"]),
        ("read 81 4", &["", "ok"]),
        (&format!("write 81 4095 {at_limit}"), &["ok"]),
        ("read 81 4095", &[&at_limit, "ok"]),
        (&format!("write 81 5 {at_limit}x"), &[too_long]),
        ("read 81 5", &["", "ok"]),
        ("write 80 20 its own disk", &["ok"]),
        ("read 80 20", &["its own disk", "ok"]),
        ("read 0 100", &["in sector 100", "ok"]),
        ("write 0 101 a floppy disk", &["ok"]),
        ("read 0 101", &["a floppy disk", "ok"]),
        ("read 81 4096", &["error: the BIOS answers 01"]),
        ("read 82 0", &["error: the BIOS answers 01"]),
        ("read 1 0", &["error: the BIOS answers 01"]),
        ("read 0 2880", &["error: the BIOS answers 04"]),
        ("write e0 0 x", &["error: the BIOS answers 03"]),
        ("read", &[place]),
        ("read 80", &[place]),
        ("read 8g 1", &[place]),
        ("read 100 1", &[place]),
        ("read 80 4294967296", &[place]),
        ("read 80 16 x", &[place]),
        ("write 80", &[place]),
        ("hell", &[no_command]),
        ("helloo", &[no_command]),
        ("x", &[no_command]),
        (&"x".repeat(1000), &[too_long]),
        ("hello", &["vaac: the guest runs", "ok"]),
    ];
    for (line, answer) in exchanges {
        assert_eq!(machine.asked(line), *answer, "{line}");
    }
    // The disks' files have what was written, and not more than the sector.
    let data = fs::read(machine.dir.path().join("data")).unwrap();
    assert_eq!(&data[4095 * 512..4095 * 512 + 64], at_limit.as_bytes());
    assert!(data[4095 * 512 + 64..].iter().all(|byte| *byte == 0));
    let boot = fs::read(machine.dir.path().join("boot")).unwrap();
    assert_eq!(&boot[20 * 512..20 * 512 + 13], b"its own disk\0");
}

/// The line of a device that is plugged in.
const HOT: &str = "00:09.0 1af4:1001 class 0100";

#[test]
fn a_device_comes_and_goes() {
    let mut machine = Machine::start();
    let before = machine.asked("pci");
    // The first functions of QEMU's machine `pc`, among them one of a device with several.
    let known = ["00:00.0 8086:1237 class 0600", "00:01.3 8086:7113 class 0680"];
    assert!(
        known.iter().all(|line| before.iter().any(|seen| seen == line)),
        "{before:?}"
    );
    assert!(!before.iter().any(|line| line == HOT));
    machine.qmp(
        "device_add",
        &json!({"driver": "virtio-blk-pci", "drive": "hot", "id": "plugged", "addr": "9"}),
    );
    assert!(machine.asked("pci").iter().any(|line| line == HOT));
    machine.qmp("device_del", &json!({"id": "plugged"}));
    machine.awaits(|message| message["event"] == "DEVICE_DELETED" && message["data"]["device"] == "plugged");
    assert_eq!(machine.asked("pci"), before);
}

#[test]
fn the_power_button_turns_it_off() {
    let mut machine = Machine::start();
    machine.qmp("system_powerdown", &json!({}));
    assert_eq!(machine.serial.next(), "vaac: the power button");
    machine.ends();
}

#[test]
fn it_resets_and_turns_itself_off() {
    let mut machine = Machine::start();
    assert_eq!(machine.asked("reset"), ["ok"]);
    assert_eq!(machine.serial.next(), "vaac: the guest runs");
    machine.awaits(|message| message["event"] == "RESET" && message["data"]["reason"] == "guest-reset");
    assert_eq!(machine.asked("off"), ["ok"]);
    machine.ends();
}

/// What is sent before the guest runs may be lost; what is sent while it is busy is not.
#[test]
fn commands_may_come_all_at_once() {
    let mut machine = Machine::start();
    let many = 500;
    let text: String = (0..many).map(|number| format!("hello {number}\n")).collect();
    let mut sender = machine.serial.0.get_ref().try_clone().unwrap();
    let sends = std::thread::spawn(move || sender.write_all(text.as_bytes()).unwrap());
    for number in 0..many {
        assert_eq!(machine.serial.next(), format!("vaac: the guest runs {number}"));
        assert_eq!(machine.serial.next(), "ok");
    }
    sends.join().unwrap();
}
