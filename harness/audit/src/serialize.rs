//! A record as an object with the kernel's own key names.

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::record::{Record, Value, Visit};

/// An object with `audit` (the stamp's text), `type` (the audit type), `apparmor`, then the keys that the record has,
/// including unknown ones. Numbers stay numbers. Absent keys are left out. A repeated key is `KEY#2`, `KEY#3`, …
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object {
            map: serializer.serialize_map(None)?,
            keys: HashSet::new(),
        };
        if let Some(stamp) = &self.stamp {
            object.field("audit", &stamp.to_string())?;
        }
        if let Some(audit_type) = &self.audit_type {
            object.field("type", audit_type)?;
        }
        object.field("apparmor", self.verdict.word())?;
        self.each_field(&mut object)?;
        for (key, value) in &self.extra {
            object.extra(key, value)?;
        }
        object.map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_i64(*number),
        }
    }
}

struct Object<M> {
    map: M,
    keys: HashSet<String>,
}

impl<M: SerializeMap> Object<M> {
    fn extra(&mut self, key: &str, value: &Value) -> Result<(), M::Error> {
        let mut name = key.to_owned();
        let mut ordinal = 1_u32;
        while self.keys.contains(&name) {
            ordinal += 1;
            name = format!("{key}#{ordinal}");
        }
        self.map.serialize_entry(&name, value)?;
        self.keys.insert(name);
        Ok(())
    }
}

impl<M: SerializeMap> Visit for Object<M> {
    type Error = M::Error;

    fn field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), M::Error> {
        self.keys.insert(key.to_owned());
        self.map.serialize_entry(key, value)
    }
}
