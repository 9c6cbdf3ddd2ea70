//! Converts a step's action to the agent's act: checks words and reads numbers.

use virt_aa_probe::protocol::{
    Act, AskSpec, FileSpec, IoctlSpec, LockMemory, PacketExchange, PciReset, Ptrace, RunSpec, SetLimit,
    SocketSpec,
};

use crate::case::model::{Scalar, Step};
use crate::case::names;
use crate::case::problem::{Located, Problem};
use crate::yaml::path::Path;

/// Every key that is an action.
const ACTIONS: &str = "run, virsh, create, define, ask, socket, packet-exchange, file, ioctl, lock-memory, acct, set-limit, signal, change-profile, ptrace, pci-reset, start";

/// libvirt's client, and the connection that it has if a step names none.
const VIRSH: &str = "/usr/bin/virsh";
const CONNECTION: &str = "qemu:///system";

/// The actions that a step names; a correct step names exactly one.
pub fn actions(step: &Step) -> Vec<&'static str> {
    [
        ("run", step.run.is_some()),
        ("virsh", step.virsh.is_some()),
        ("create", step.create.is_some()),
        ("define", step.define.is_some()),
        ("ask", step.ask.is_some()),
        ("socket", step.socket.is_some()),
        ("packet-exchange", step.packet_exchange.is_some()),
        ("file", step.file.is_some()),
        ("ioctl", step.ioctl.is_some()),
        ("lock-memory", step.lock_memory.is_some()),
        ("acct", step.acct.is_some()),
        ("set-limit", step.set_limit.is_some()),
        ("signal", step.signal.is_some()),
        ("change-profile", step.change_profile.is_some()),
        ("ptrace", step.ptrace.is_some()),
        ("pci-reset", step.pci_reset.is_some()),
        ("start", step.start.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect()
}

/// What the agent does for a step whose templates are filled in; `path` is where the step stands.
pub fn act(step: &Step, path: &Path) -> Result<Act, Located> {
    let found = actions(step);
    let [name] = found[..] else {
        return Err(Problem::OneOf {
            what: "a step",
            keys: ACTIONS,
            found,
        }
        .at(path.clone()));
    };
    let path = path.key(name);
    if let Some(argv) = &step.run {
        return run(step, argv, &path).map(Act::Run);
    }
    if let Some(arguments) = &step.virsh {
        return Ok(Act::Run(virsh(step, arguments.clone(), step.stdin.clone())));
    }
    for (verb, domain) in [("create", &step.create), ("define", &step.define)] {
        if let Some(domain) = domain {
            let arguments = vec![verb.to_owned(), "/dev/stdin".to_owned()];
            return Ok(Act::Run(virsh(step, arguments, Some(domain.xml()))));
        }
    }
    if let Some(ask) = &step.ask {
        return Ok(Act::Ask(AskSpec {
            socket: absolute(&ask.socket, &path.key("socket"))?,
            say: one_line(&ask.say, &path.key("say"))?,
            timeout_ms: 0,
        }));
    }
    if let Some(socket) = &step.socket {
        return Ok(Act::Socket(SocketSpec {
            family: word(
                "family of socket",
                &socket.family,
                names::FAMILIES,
                &path.key("family"),
            )?,
            kind: word(
                "type of socket",
                &socket.kind,
                names::SOCKET_TYPES,
                &path.key("type"),
            )?,
            protocol: number(&socket.protocol, "a protocol's number", &path.key("protocol"))?,
        }));
    }
    if let Some(pair) = &step.packet_exchange {
        return Ok(Act::PacketExchange(PacketExchange {
            send: pair.send.clone(),
            receive: pair.receive.clone(),
        }));
    }
    if let Some(file) = &step.file {
        return Ok(Act::File(FileSpec {
            path: absolute(&file.path, &path.key("path"))?,
            open: word(
                "way to open a file",
                &file.open,
                names::FILE_OPENS,
                &path.key("open"),
            )?,
            create: file.create,
            lock: file.lock,
            at: file.at,
            write: file.write.clone(),
            read: file.read,
            map: file.map,
        }));
    }
    if let Some(ioctl) = &step.ioctl {
        return Ok(Act::Ioctl(IoctlSpec {
            path: absolute(&ioctl.path, &path.key("path"))?,
            open: word(
                "way to open a device",
                &ioctl.open,
                names::IOCTL_OPENS,
                &path.key("open"),
            )?,
            request: number(&ioctl.request, "a request's number", &path.key("request"))?,
            argument: bytes_of(&ioctl.argument, &path.key("argument"))?,
        }));
    }
    if let Some(memory) = &step.lock_memory {
        let how = word("way to lock memory", &memory.how, names::LOCKS, &path.key("how"))?;
        return Ok(Act::LockMemory(LockMemory {
            how,
            bytes: memory.bytes,
        }));
    }
    if let Some(file) = &step.acct {
        let file = if file == "off" {
            None
        } else {
            Some(absolute(file, &path)?)
        };
        return Ok(Act::Acct { file });
    }
    if let Some(limit) = &step.set_limit {
        let resource = word("resource", &limit.resource, names::LIMITS, &path.key("resource"))?;
        return Ok(Act::SetLimit(SetLimit {
            resource,
            to: limit.to,
            of: limit.of.clone(),
            pid: None,
        }));
    }
    if let Some(signal) = &step.signal {
        let name = word("signal", &signal.signal, names::SIGNALS, &path.key("signal"))?;
        return Ok(Act::Signal {
            to: signal.to.clone(),
            signal: name,
        });
    }
    if let Some(label) = &step.change_profile {
        return Ok(Act::ChangeProfile { to: label.clone() });
    }
    if let Some(ptrace) = &step.ptrace {
        return Ok(Act::Ptrace(Ptrace {
            of: ptrace.of.clone(),
            how: word(
                "way to look into a process",
                &ptrace.how,
                names::PTRACES,
                &path.key("how"),
            )?,
            pid: None,
        }));
    }
    if let Some(what) = &step.start {
        word("thing to start", what, names::STARTS, &path)?;
        return Ok(Act::Start);
    }
    match &step.pci_reset {
        Some(reset) => Ok(Act::PciReset(PciReset {
            config: absolute(&reset.config, &path.key("config"))?,
            how: word("way to reset", &reset.how, names::PCI_RESETS, &path.key("how"))?,
            bridge: reset
                .bridge
                .as_ref()
                .map(|bridge| absolute(bridge, &path.key("bridge")))
                .transpose()?,
        })),
        None => Err(Problem::OneOf {
            what: "a step",
            keys: ACTIONS,
            found: vec![],
        }
        .at(path)),
    }
}

/// virsh with its connection, in a language in which its messages are known.
fn virsh(step: &Step, arguments: Vec<String>, stdin: Option<String>) -> RunSpec {
    let connection = step.connection.as_deref().unwrap_or(CONNECTION);
    let before = [VIRSH, "-c", connection].map(str::to_owned);
    RunSpec {
        argv: before.into_iter().chain(arguments).collect(),
        env: step.env.clone(),
        stdin,
        stdin_file: step.stdin_file.clone(),
        stdout_file: step.stdout_file.clone(),
    }
}

fn run(step: &Step, argv: &[String], path: &Path) -> Result<RunSpec, Located> {
    let Some(program) = argv.first() else {
        return Err(Problem::Empty("run").at(path.clone()));
    };
    absolute(program, &path.index(0))?;
    Ok(RunSpec {
        argv: argv.to_vec(),
        env: step.env.clone(),
        stdin: step.stdin.clone(),
        stdin_file: step.stdin_file.clone(),
        stdout_file: step.stdout_file.clone(),
    })
}

fn word(what: &'static str, text: &str, known: &[&str], path: &Path) -> Result<String, Located> {
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    let known = known.iter().map(ToString::to_string).collect();
    Err(Problem::Unknown {
        what,
        name: text.to_owned(),
        known,
    }
    .at(path.clone()))
}

fn absolute(text: &str, path: &Path) -> Result<String, Located> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(Problem::NotA {
        text: text.to_owned(),
        wanted: "an absolute path",
    }
    .at(path.clone()))
}

/// What a guest takes as one command.
fn one_line(text: &str, path: &Path) -> Result<String, Located> {
    if !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Problem::NotA {
        text: text.to_owned(),
        wanted: "one line of printable ASCII",
    }
    .at(path.clone()))
}

/// A number, or a text that a template was filled into: decimal or `0x…`.
fn number<T: TryFrom<i128>>(scalar: &Scalar, wanted: &'static str, path: &Path) -> Result<T, Located> {
    let read = match scalar {
        Scalar::Int(number) => Some(i128::from(*number)),
        Scalar::Text(text) => match text.strip_prefix("0x") {
            Some(digits) if !digits.starts_with(['+', '-']) => {
                u64::from_str_radix(digits, 16).ok().map(i128::from)
            }
            Some(_) => None,
            None => text.parse::<i64>().ok().map(i128::from),
        },
    };
    let number = read.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| {
        Problem::NotA {
            text: scalar.to_string(),
            wanted,
        }
        .at(path.clone())
    })
}

fn bytes_of(text: &str, path: &Path) -> Result<Vec<u8>, Located> {
    let bad = || {
        Problem::NotA {
            text: text.to_owned(),
            wanted: "bytes in hex",
        }
        .at(path.clone())
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    hex::decode(digits).map_err(|_| bad())
}
