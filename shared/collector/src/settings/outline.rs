//! The outline of a document: which inputs and services it has, under which of their names, and what else is in it.
//!
//! Names are settled here, before any setting is read: an input or service is found under its key or an alias of it,
//! and everything behind this file speaks of the declaration. What is wrong is kept with the part it is wrong in, so
//! that a function can fail on its own part and merely mention the others.

use serde_json::Value;

use super::findings::Findings;
use super::keys::{self, ENABLED, IGNORED_AT_TOP, IGNORED_INSIDE, SERVICES};
use super::read::{Block, join, kind_of, object, unknown_key};
use super::translate::{Note, NoteKind, Origins, Translation};
use crate::service::{Family, Service};

/// Whether an input or a service is to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is there and not switched off.
    On,
    /// It is there with `enabled: false`.
    Off,
}

/// A whole document.
#[derive(Default)]
pub(super) struct Outline<'a> {
    /// What concerns the document as such.
    pub(super) findings: Findings,
    /// Keys under `inputs` that name no known input.
    pub(super) unknown_inputs: Vec<UnknownInput>,
    /// The known inputs.
    pub(super) inputs: Vec<InputOutline<'a>>,
}

/// A key under `inputs` that names no known input.
#[derive(Debug)]
pub(super) struct UnknownInput {
    /// The key.
    pub(super) key: String,
    /// Where it is.
    pub(super) path: String,
    /// What to do about it.
    pub(super) text: String,
}

/// One input.
pub(super) struct InputOutline<'a> {
    /// Its declaration.
    pub(super) family: &'static Family,
    /// Whether it is to work.
    pub(super) presence: Presence,
    /// Its settings.
    pub(super) block: Block<'a>,
    /// What is wrong with its keys.
    pub(super) findings: Findings,
    /// Keys under `services` that name no service of it.
    pub(super) unknown_services: Findings,
    /// Its services.
    pub(super) services: Vec<ServiceOutline<'a>>,
}

/// One service.
pub(super) struct ServiceOutline<'a> {
    /// Its declaration.
    pub(super) service: &'static Service,
    /// Whether it is to work, its input aside.
    pub(super) presence: Presence,
    /// Its settings.
    pub(super) block: Block<'a>,
    /// What is wrong with its keys.
    pub(super) findings: Findings,
}

impl<'a> Outline<'a> {
    /// Reads the outline of a translated document.
    pub(super) fn read(translation: &'a Translation, families: &[&'static Family]) -> Self {
        let mut outline = Self::default();
        let Value::Object(members) = &translation.document else {
            let found = kind_of(&translation.document);
            outline.findings.problem("document", format!("expected an object, found {found}"));
            return outline;
        };
        for key in members.keys().filter(|key| *key != "inputs") {
            outline.other_member(key, families);
        }
        match members.get("inputs") {
            Some(Value::Object(inputs)) => {
                for (key, value) in inputs {
                    outline.input(key, value, families, &translation.origins);
                }
            }
            Some(other) => {
                outline.findings.problem("inputs", format!("expected an object, found {}", kind_of(other)));
            }
            None => outline.findings.problem("inputs", "is missing; a document is {\"inputs\": {…}}"),
        }
        outline.name_places_as_written(&translation.origins);
        for note in &translation.notes {
            outline.take_note(note);
        }
        outline
    }

    /// Everything says where it is in the document as it was written, before the translation.
    fn name_places_as_written(&mut self, origins: &Origins) {
        for input in &mut self.inputs {
            input.block.relocate(|path| origins.place(path));
            input.findings.relocate(|path| origins.place(path));
            input.unknown_services.relocate(|path| origins.place(path));
            for service in &mut input.services {
                service.block.relocate(|path| origins.place(path));
                service.findings.relocate(|path| origins.place(path));
            }
        }
    }

    fn take_note(&mut self, note: &Note) {
        let Some(input) = self.inputs.iter_mut().find(|input| input.family.input == note.scope.input) else {
            return;
        };
        let service = input.services.iter_mut().find(|it| Some(it.service.name) == note.scope.service);
        let findings = service.map_or(&mut input.findings, |it| &mut it.findings);
        match note.kind {
            NoteKind::Problem => findings.problem(&note.path, &note.text),
            NoteKind::Translated => findings.remarks.push(note.to_string()),
            NoteKind::Moved => {}
        }
    }

    /// The paths of all keys that are accepted and have no effect.
    pub(super) fn ignored(&self) -> Vec<String> {
        let of_inputs = self.inputs.iter().flat_map(|input| {
            let of_services = input.services.iter().flat_map(|service| &service.findings.ignored);
            input.findings.ignored.iter().chain(of_services)
        });
        self.findings.ignored.iter().chain(of_inputs).cloned().collect()
    }

    fn other_member(&mut self, key: &str, families: &[&'static Family]) {
        let path = join("", key);
        if IGNORED_AT_TOP.contains(&key) {
            self.findings.ignored.push(path);
        } else if families.iter().any(|family| names_of_family(family).any(|name| name == key)) {
            self.findings.problem(path, "is an input; put it under `inputs`");
        } else {
            let known = std::iter::once("inputs").chain(IGNORED_AT_TOP.iter().copied());
            self.findings.problem(path, unknown_key(key, known));
        }
    }

    fn input(&mut self, key: &str, value: &'a Value, families: &[&'static Family], origins: &Origins) {
        let path = join("inputs", key);
        let Some(family) = families.iter().find(|family| names_of_family(family).any(|name| name == key))
        else {
            let text = unknown_key(key, families.iter().map(|family| family.input));
            self.unknown_inputs.push(UnknownInput { key: key.to_owned(), path, text });
            return;
        };
        if let Some(first) = self.inputs.iter_mut().find(|input| input.family.input == family.input) {
            let text = format!("is the same input as `{}`; keep one", origins.place(&first.block.path));
            first.findings.problem(path, text);
            return;
        }
        self.inputs.push(InputOutline::read(path, value, family, origins));
    }
}

impl<'a> InputOutline<'a> {
    fn read(path: String, value: &'a Value, family: &'static Family, origins: &Origins) -> Self {
        let mut findings = Findings::default();
        let block = Block::read(path, value, &keys::of_input(family), IGNORED_INSIDE, &mut findings);
        let presence = presence(&block, &mut findings);
        let mut input = Self {
            family,
            presence,
            block,
            findings,
            unknown_services: Findings::default(),
            services: Vec::new(),
        };
        let services_path = input.block.path_of(&SERVICES);
        let services = input.block.raw(&SERVICES).map(|(_, services)| services);
        if let Some(members) = services.and_then(|it| object(&services_path, it, &mut input.findings)) {
            for (key, member) in members {
                input.service(&services_path, key, member, origins);
            }
        }
        input
    }

    /// The outline of one of its services, if the document has it.
    pub(super) fn service_named(&self, name: &str) -> Option<&ServiceOutline<'a>> {
        self.services.iter().find(|outline| outline.service.name == name)
    }

    /// How many of its services are to work and draw on this request budget.
    pub(super) fn sharers(&self, budget: &str) -> usize {
        let working = self.services.iter().filter(|outline| outline.presence == Presence::On);
        working.filter(|outline| outline.service.rate.budget == budget).count()
    }

    fn service(&mut self, services_path: &str, key: &str, value: &'a Value, origins: &Origins) {
        let path = join(services_path, key);
        let known = self.family.services;
        let Some(service) =
            known.iter().find(|service| service.name == key || service.aliases.contains(&key))
        else {
            let text = unknown_key(key, known.iter().map(|service| service.name));
            self.unknown_services.problem(path, text);
            return;
        };
        if let Some(first) = self.services.iter_mut().find(|outline| outline.service.name == service.name) {
            let text = format!("is the same service as `{}`; keep one", origins.place(&first.block.path));
            first.findings.problem(path, text);
            return;
        }
        let mut findings = Findings::default();
        let block = Block::read(path, value, &keys::of_service(service), IGNORED_INSIDE, &mut findings);
        let presence = presence(&block, &mut findings);
        self.services.push(ServiceOutline { service, presence, block, findings });
    }
}

/// All spellings of an input's key.
pub(super) fn names_of_family(family: &'static Family) -> impl Iterator<Item = &'static str> {
    std::iter::once(family.input).chain(family.aliases.iter().copied())
}

fn presence(block: &Block<'_>, findings: &mut Findings) -> Presence {
    match block.boolean(&ENABLED, findings) {
        Some(false) => Presence::Off,
        Some(true) | None => Presence::On,
    }
}
