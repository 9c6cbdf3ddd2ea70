//! The text of globs: parsing it, and escaping literal texts.

use super::{Bytes, GlobError, MAX_DEPTH, MAX_GLOB, Node};

/// The glob that matches only this text: every special character is escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let special = match character {
            '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '^' | ',' | '"' => true,
            // `@{` begins a variable. Elsewhere, as in a socket's address, no parser accepts the backslash.
            '@' => characters.peek() == Some(&'{'),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// The glob that matches only this profile name, as the parser makes `@{profile_name}`. Existing escapes stay.
pub(crate) fn escape_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            out.push(character);
            out.extend(characters.next());
            continue;
        }
        if matches!(character, '{' | '}' | '[' | ']' | '*' | '?') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Reads a glob whose variables are already expanded.
pub(super) fn read(text: &[u8]) -> Result<Node, GlobError> {
    Reader::read(text)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// Whether the last item was a plain slash. A star between slashes then needs at least one character.
    slash: bool,
}

impl<'t> Reader<'t> {
    fn read(text: &'t [u8]) -> Result<Node, GlobError> {
        if text.len() > MAX_GLOB {
            return Err(GlobError::Size);
        }
        let mut reader = Self {
            text,
            at: 0,
            slash: false,
        };
        let node = reader.sequence(0)?;
        match reader.peek() {
            Some(b'}') => Err(GlobError::CloseBrace),
            _ => Ok(node),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads to the end or, inside braces, to the end of an alternative.
    fn sequence(&mut self, depth: usize) -> Result<Node, GlobError> {
        let mut nodes = Vec::new();
        while let Some(byte) = self.peek() {
            if byte == b'}' || (byte == b',' && depth > 0) {
                break;
            }
            self.at += 1;
            match byte {
                b'*' => self.star(&mut nodes),
                b'?' => nodes.push(self.one(Bytes::but(b"/"))),
                b'[' => {
                    let class = self.class()?;
                    nodes.push(self.one(class));
                }
                b']' => return Err(GlobError::CloseClass),
                b'{' => {
                    let node = self.braces(depth + 1)?;
                    nodes.push(node);
                    self.slash = false;
                }
                b'\\' => {
                    let byte = self.escaped()?;
                    nodes.push(Node::One(Bytes::one(byte)));
                    self.slash = byte == b'/';
                }
                _ => {
                    nodes.push(Node::One(Bytes::one(byte)));
                    self.slash = byte == b'/';
                }
            }
        }
        Ok(Node::Seq(nodes))
    }

    fn one(&mut self, set: Bytes) -> Node {
        self.slash = false;
        Node::One(set)
    }

    fn star(&mut self, nodes: &mut Vec<Node>) {
        let stars = self.text[self.at..]
            .iter()
            .take_while(|byte| **byte == b'*')
            .count();
        let after = self.text.get(self.at + stars);
        if self.slash && matches!(after, None | Some(b'/')) {
            nodes.push(Node::One(Bytes::but(b"/")));
        }
        if stars > 0 {
            self.at += 1;
            nodes.push(Node::Many(Bytes::but(b"")));
        } else {
            nodes.push(Node::Many(Bytes::but(b"/")));
        }
        self.slash = false;
    }

    fn braces(&mut self, depth: usize) -> Result<Node, GlobError> {
        if depth >= MAX_DEPTH {
            return Err(GlobError::Depth);
        }
        let mut choices = Vec::new();
        loop {
            self.slash = false;
            choices.push(self.sequence(depth)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(_) => {
                    self.at += 1;
                    break;
                }
                None => return Err(GlobError::OpenBrace),
            }
        }
        if choices.len() < 2 {
            return Err(GlobError::Single);
        }
        Ok(Node::Alt(choices))
    }

    fn class(&mut self) -> Result<Bytes, GlobError> {
        let mut set = Bytes::default();
        let negated = self.peek() == Some(b'^');
        if negated {
            self.at += 1;
        }
        let mut low: Option<u8> = None;
        let mut range = false;
        let mut first = true;
        loop {
            let byte = self.peek().ok_or(GlobError::OpenClass)?;
            self.at += 1;
            let byte = match byte {
                b']' if !first => break,
                b'-' if low.is_some() && !range && self.peek().is_some_and(|next| next != b']') => {
                    range = true;
                    continue;
                }
                b'\\' => self.escaped()?,
                _ => byte,
            };
            first = false;
            match low {
                Some(from) if range => {
                    (from..=byte).for_each(|byte| set.add(byte));
                    low = None;
                    range = false;
                }
                _ => {
                    set.add(byte);
                    low = Some(byte);
                }
            }
        }
        Ok(if negated { set.complement() } else { set })
    }

    /// Reads the byte that the text after a backslash stands for.
    fn escaped(&mut self) -> Result<u8, GlobError> {
        let byte = self.peek().ok_or(GlobError::Escape)?;
        self.at += 1;
        Ok(match byte {
            b'a' => 7,
            b'e' => 27,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => self.digits(16, 2).unwrap_or(b'x'),
            b'd' => self.digits(10, 3).unwrap_or(b'd'),
            b'0'..=b'7' => {
                self.at -= 1;
                self.digits(8, 3).unwrap_or(byte)
            }
            other => other,
        })
    }

    /// Reads a number of at most `most` digits, if there is one that fits in a byte.
    fn digits(&mut self, base: u32, most: usize) -> Option<u8> {
        let mut value: Option<u8> = None;
        for _ in 0..most {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(base)) else {
                break;
            };
            let next = u32::from(value.unwrap_or(0)) * base + digit;
            let Ok(next) = u8::try_from(next) else {
                break;
            };
            value = Some(next);
            self.at += 1;
        }
        value
    }
}
