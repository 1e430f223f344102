//! Emissary's kinds, and Postern's own of that name, that hold for the whole installation: those that protect are honoured or refuse everything (design D6).

mod keys;

use std::sync::Arc;

use serde_json::Value;

use super::{
    Options,
    finding::Findings,
    installation::{self, Belongs},
    mapping::Routing,
    settings::{Instance, Settings},
};
use crate::{
    report::{Code, Settled},
    resource::{Group, Kind, Object, ObjectKey, Objects},
};
use keys::{KEYS, Key};

/// An object of these kinds with what there is to say about it.
pub(super) struct PolicyReport<'r> {
    pub(super) object: &'r Arc<Object<Value>>,
    pub(super) findings: Findings,
    /// Whether something of it is in force.
    pub(super) in_force: bool,
    /// What of the Module holds for requests.
    pub(super) settled: Settled,
}

/// Kinds that are not implemented, all of which the settings may name; without them traffic is served in any case, or then.
const KINDS: [Kind; 6] = [
    Kind::AuthService,
    Kind::RateLimitService,
    Kind::LogService,
    Kind::TracingService,
    Kind::ConsulResolver,
    Kind::DevPortal,
];

/// What becomes of a key of the Module, for the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKey {
    Works,
    /// It protects: while it is there, every Mapping answers 503, unless `emissary.ignore` names it.
    Closes,
    /// Traffic is served without it, with a warning.
    Missing,
    NoEffect,
}

/// Every key of the Module, in the order of the names.
pub fn module_keys() -> Vec<(&'static str, ModuleKey)> {
    let keys = KEYS.iter().map(|(name, key)| {
        let key = match key {
            Key::Apply(..) | Key::Guard(..) => ModuleKey::Works,
            Key::Protects => ModuleKey::Closes,
            Key::Missing => ModuleKey::Missing,
            Key::NoEffect => ModuleKey::NoEffect,
        };
        (*name, key)
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable_by_key(|(name, _)| *name);
    keys
}

/// What `emissary.ignore` may name.
pub(super) fn may_be_ignored() -> impl Iterator<Item = &'static str> {
    let keys = KEYS
        .iter()
        .filter(|(_, key)| matches!(key, Key::Guard(..) | Key::Protects | Key::Missing));
    let kinds = KINDS.iter().map(|kind| kind.name());
    kinds.chain(keys.map(|(name, _)| *name))
}

/// Takes over into the settings what these objects ask for, or why nothing may be served.
pub(super) fn read<'r>(
    objects: &'r Objects<Value>,
    options: &Options,
    settings: &mut Settings,
) -> Vec<PolicyReport<'r>> {
    let mut reports = Vec::new();
    let in_force = module_in_force(objects, options, settings);
    for object in objects.values() {
        let mut report = PolicyReport {
            object,
            findings: Findings::of(&object.problems),
            in_force: false,
            settled: Settled::default(),
        };
        match installation::belongs(&object.spec, options) {
            Belongs::ToOthers => continue,
            Belongs::ToUs => {}
            Belongs::Unreadable(field) => report.findings.push(
                Code::WrongType,
                &field,
                "the ids of installations must be a list of strings; until they are, the object belongs to every one",
                "Write a list of strings",
            ),
        }
        match &in_force {
            Some(first) if is_module(object) && *first != object.key => report.stands_back(first),
            _ => report.read(settings),
        }
        reports.push(report);
    }
    reports
}

/// Whether this is what settles Emissary's global settings.
fn is_module(object: &Object<Value>) -> bool {
    let key = &object.key;
    key.kind == Kind::Module && key.group == Group::Emissary && *key.name == *"ambassador"
}

/// The one Module of the installation: that of the own namespace, else the first that may settle anything. So Emissary has it,
/// but for the own namespace.
fn module_in_force(
    objects: &Objects<Value>,
    options: &Options,
    settings: &Settings,
) -> Option<ObjectKey> {
    let modules = objects.values().filter(|object| {
        is_module(object)
            && settings.may_settle(&object.key.namespace)
            && !matches!(
                installation::belongs(&object.spec, options),
                Belongs::ToOthers
            )
    });
    let keys = modules.map(|module| &module.key);
    let first = keys.min_by_key(|key| (key.namespace != options.namespace, &key.namespace));
    first.cloned()
}

impl PolicyReport<'_> {
    /// Says that another Module is in force.
    fn stands_back(&mut self, first: &ObjectKey) {
        self.findings.push(
            Code::ModuleNotInForce,
            "",
            format!("{first} is the Module of this installation, so this one changes nothing"),
            "Put what is to hold into that one, and delete this one",
        );
    }

    fn read(&mut self, settings: &mut Settings) {
        let key = &self.object.key;
        match key.kind {
            Kind::AuthService | Kind::RateLimitService | Kind::Module
                if !settings.may_settle(&key.namespace) =>
            {
                let what = "settle anything for the whole installation";
                settings.refuse_to_settle(&key.namespace, what, &mut self.findings);
                if settings.instance == Instance::GivesWay {
                    self.protects_unclaimed(settings);
                }
            }
            Kind::AuthService | Kind::RateLimitService => {
                self.protects(key.kind.name(), "", settings);
            }
            Kind::Module if key.group == Group::Emissary => self.module(settings),
            Kind::KubernetesServiceResolver => self.resolver(Routing::Service, settings),
            Kind::KubernetesEndpointResolver => self.resolver(Routing::Endpoints, settings),
            kind @ (Kind::Module | Kind::TlsContext) => self.findings.push(
                Code::KindNotImplemented,
                "",
                format!("Postern has no {} of its own", kind.name()),
                format!(
                    "Write it as the {} of getambassador.io/v3alpha1",
                    kind.name()
                ),
            ),
            kind => self.findings.push(
                Code::KindNotImplemented,
                "",
                format!("Postern does not implement {}", kind.name()),
                "Delete it, or leave it: traffic is served without it",
            ),
        }
    }

    /// What would protect everything, if it were not for claims, goes on to protect what nobody has claimed: the first claim
    /// must not open what was closed before.
    fn protects_unclaimed(&self, settings: &mut Settings) {
        let key = &self.object.key;
        let config = match key.kind {
            Kind::Module if is_module(self.object) => self.object.spec.get("config"),
            Kind::Module => return,
            _ => None,
        };
        let asked = config.and_then(Value::as_object).into_iter().flatten();
        let protecting = asked.filter_map(|(name, value)| {
            let name = snake_case(name);
            let (name, key) = KEYS.iter().find(|row| row.0 == name)?;
            (matches!(key, Key::Guard(..) | Key::Protects) && !asks_for_nothing(name, value))
                .then_some(*name)
        });
        let kind = (key.kind != Kind::Module).then(|| key.kind.name());
        let is_ignored = |name: &&str| settings.ignore.contains(&name.to_ascii_lowercase());
        let mut names = kind.into_iter().chain(protecting);
        if let Some(name) = names.find(|name| !is_ignored(name)) {
            let reason = format!("{key} cannot be honoured: its `{name}` is not in force");
            settings.refusal_of_unclaimed.get_or_insert(reason.into());
        }
    }

    /// Something that protects and is not implemented: ignored by name, or nothing is served.
    fn protects(&mut self, name: &str, field: &str, settings: &mut Settings) {
        if settings.ignore.contains(&name.to_ascii_lowercase()) {
            self.findings.push(
                Code::KindNotImplemented,
                field,
                format!(
                    "Postern does not implement {name}; the GatewaySettings say to serve without it"
                ),
                "Leave it, or delete it",
            );
            return;
        }
        let reason = format!(
            "{} cannot be honoured: {name} is not implemented",
            self.object.key
        );
        self.findings.push(
            Code::PolicyNotHonoured,
            field,
            format!("{reason}, so every Mapping answers 503"),
            format!("Delete it, or name {name} in `emissary.ignore` of the GatewaySettings"),
        );
        settings.refusal.get_or_insert(reason.into());
    }

    /// A name for what is known by another name already: for the namespace that it is in, or for all.
    fn resolver(&mut self, routing: Routing, settings: &mut Settings) {
        let key = &self.object.key;
        let name = (Arc::from(&*key.name), Arc::clone(&key.namespace));
        settings.resolvers.insert(name, routing);
        self.in_force = true;
    }

    /// Something that protects: in force, ignored by name, or nothing is served. Says whether it is in force.
    fn guard(
        &mut self,
        apply: fn(&Value, &mut Settings) -> Result<(), String>,
        (name, value): (&str, &Value),
        field: &str,
        settings: &mut Settings,
    ) -> bool {
        if settings.ignore.contains(name) {
            let message = format!("The GatewaySettings say to serve without `{name}`");
            let next = "Remove it from `emissary.ignore` to have it in force";
            self.findings.push(Code::NoEffect, field, message, next);
            return false;
        }
        let Err(why) = apply(value, settings) else {
            self.in_force = true;
            return true;
        };
        let reason = format!("{} cannot be honoured: {why}", self.object.key);
        self.findings.push(
            Code::PolicyNotHonoured,
            field,
            format!("{reason}, so every Mapping answers 503"),
            "Mend the list, or remove it",
        );
        settings.refusal.get_or_insert(reason.into());
        false
    }

    fn module(&mut self, settings: &mut Settings) {
        if *self.object.key.name != *"ambassador" {
            self.findings.push(
                Code::NoEffect,
                "",
                "Only the Module named ambassador is read",
                "Rename it to ambassador, or delete it",
            );
            return;
        }
        let Some(config) = self.object.spec.get("config").and_then(Value::as_object) else {
            return;
        };
        for (name, value) in config {
            let field = format!("spec.config.{name}");
            let name = &*snake_case(name);
            if let Some(setting) = settings.decided.get(name) {
                self.findings.push(
                    Code::ModuleNotInForce,
                    &field,
                    format!("`{setting}` of the GatewaySettings decides this"),
                    "Remove the key, or that setting",
                );
                continue;
            }
            match KEYS.iter().find(|row| row.0 == name).map(|row| &row.1) {
                Some(Key::Apply(..)) if value.is_null() => {}
                Some(Key::Apply(settles, apply)) => match apply(value, settings) {
                    Ok(()) => {
                        self.in_force = true;
                        self.settled.add(*settles, field.contains('_'));
                    }
                    Err(message) => {
                        self.findings.push(
                            Code::InvalidValue,
                            &field,
                            message,
                            "Correct the value",
                        );
                    }
                },
                Some(Key::Guard(..) | Key::Protects | Key::Missing)
                    if asks_for_nothing(name, value) => {}
                Some(Key::Guard(settles, apply)) => {
                    if self.guard(*apply, (name, value), &field, settings) {
                        self.settled.add(*settles, field.contains('_'));
                    }
                }
                Some(Key::Protects) => self.protects(name, &field, settings),
                Some(Key::Missing) => self.findings.push(
                    Code::KindNotImplemented,
                    &field,
                    format!("Postern does not implement `{name}`"),
                    "Remove it, or leave it: traffic is served without it",
                ),
                Some(Key::NoEffect) => self.findings.push(
                    Code::NoEffect,
                    &field,
                    format!("`{name}` has no effect"),
                    "Remove it, or leave it",
                ),
                None => self.findings.push(
                    Code::UnknownField,
                    &field,
                    format!("The Module has no key `{name}`"),
                    "Correct the name",
                ),
            }
        }
    }
}

/// Emissary reads both spellings.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn asks_for_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // What Emissary does where nothing is said.
        Value::Bool(on) => *on == (name == "use_remote_address"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(_) => false,
    }
}
