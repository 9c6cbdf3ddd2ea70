//! Converts nodes to typed values with serde. The type decides what a scalar is: a text may be written without quotes
//! whatever it looks like, but a number must be plain.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Entry, Node, Span, Value};
use super::suggest;

/// Reads a `T`.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Error> {
    T::deserialize(node).map_err(|error| error.located(node.mark()))
}

/// Why a node is not the value wanted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: Kind,
    span: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Kind {
    #[error("unknown key `{0}`")]
    UnknownKey(String, &'static [&'static str]),
    #[error("unknown word `{0}`")]
    UnknownWord(String, &'static [&'static str]),
    #[error("the key `{0}` is missing")]
    Missing(&'static str),
    #[error("expected {wanted}, found {found}")]
    Type {
        wanted: String,
        found: String,
        template: Option<String>,
    },
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The place: the innermost node that was being read.
    pub fn span(&self) -> Span {
        self.span.clone().unwrap_or(0..0)
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match &self.kind {
            Kind::UnknownKey(name, known) | Kind::UnknownWord(name, known) => {
                suggest::help(name, known.iter().copied())
            }
            Kind::Type {
                template: Some(key), ..
            } => Some(format!("a template needs quotes: \"{{{key}}}\"")),
            Kind::Type { found, .. } if found.starts_with("boolean") => {
                Some("put quotes around a text".to_owned())
            }
            _ => None,
        }
    }

    fn new(kind: Kind) -> Self {
        Self { kind, span: None }
    }

    fn located(self, span: Span) -> Self {
        Self {
            span: Some(self.span.unwrap_or(span)),
            ..self
        }
    }

    fn wrong(node: &Node, wanted: &str) -> Self {
        // YAML reads `{key}` without quotes as a mapping.
        let template = match &node.value {
            Value::Map(entries) => match entries.as_slice() {
                [Entry { key, node, .. }] if node.is_nothing() => Some(key.clone()),
                _ => None,
            },
            _ => None,
        };
        let kind = Kind::Type {
            wanted: wanted.to_owned(),
            found: node.describe(),
            template,
        };
        Self {
            kind,
            span: Some(node.mark()),
        }
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Kind::Type {
            wanted: wanted.to_string(),
            found: found.to_string(),
            template: None,
        })
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord(name.to_owned(), known))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey(name.to_owned(), known))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Kind::Missing(name))
    }
}

/// A plain scalar as a whole number: decimal, `0x…` or `0o…`.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (radix, digits) = match (digits.strip_prefix("0x"), digits.strip_prefix("0o")) {
        (Some(hex), _) => (16, hex),
        (_, Some(octal)) => (8, octal),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix)
        .ok()
        .map(|number| sign * i128::from(number))
}

impl<'de> Node {
    fn as_integer<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let number = match &self.value {
            Value::Scalar { text, plain: true } => integer(text),
            _ => None,
        };
        let Some(number) = number else {
            return Err(Error::wrong(self, "a whole number"));
        };
        let read = match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => return Err(Error::wrong(self, "a number of 64 bits")),
        };
        read.map_err(|error: Error| match error.kind {
            Kind::Type { wanted, .. } if wanted.starts_with(['i', 'u']) => {
                Error::wrong(self, &format!("a whole number that fits {wanted}"))
            }
            kind => Error {
                kind,
                span: Some(self.mark()),
            },
        })
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.as_integer(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Scalar { .. } if self.is_nothing() => visitor
                .visit_unit()
                .map_err(|error: Error| error.located(self.mark())),
            Value::Scalar { text, plain: true } if integer(text).is_some() => self.as_integer(visitor),
            Value::Scalar { text, plain: true } if text == "true" || text == "false" => {
                self.deserialize_bool(visitor)
            }
            Value::Scalar { .. } => self.deserialize_str(visitor),
        }
    }

    integers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, plain: true } if text == "true" => visitor.visit_bool(true),
            Value::Scalar { text, plain: true } if text == "false" => visitor.visit_bool(false),
            _ => Err(Error::wrong(self, "`true` or `false`")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_nothing() => visitor
                .visit_str(text)
                .map_err(|error: Error| error.located(self.mark())),
            _ => Err(Error::wrong(self, "a text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_nothing() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(items) => visitor
                .visit_seq(Items(items.iter()))
                .map_err(|error: Error| error.located(self.mark())),
            _ => Err(Error::wrong(self, "a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor
                .visit_map(Entries {
                    rest: entries.iter(),
                    value: None,
                })
                .map_err(|error: Error| error.located(self.mark())),
            _ => Err(Error::wrong(self, "a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_nothing() => {
                let word: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
                visitor
                    .visit_enum(word)
                    .map_err(|error| error.located(self.mark()))
            }
            _ => Err(Error::wrong(self, "a word")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0
            .next()
            .map(|item| seed.deserialize(item).map_err(|error| error.located(item.mark())))
            .transpose()
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.located(entry.key_span.clone()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.node).map_err(|error| {
            // If `key:` has no value, the error points to the key.
            let span = if entry.node.span.is_empty() {
                entry.key_span.clone()
            } else {
                entry.node.mark()
            };
            match error.span {
                Some(found) if !found.is_empty() => Error {
                    span: Some(found),
                    ..error
                },
                _ => Error {
                    span: Some(span),
                    ..error
                },
            }
        })
    }
}
