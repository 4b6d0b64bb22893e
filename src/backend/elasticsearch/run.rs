//! A batch under way: which searches are still to be sent, and what their answers made of the selections.

use super::decode::{Found, Item, Refusal};
use super::fold::{Fold, Spent};
use super::form::Form;
use super::request::{self, Depth, Search};
use super::slice::{self, Slice};
use super::{HITS, NO_INDEX, PAGE};
use crate::backend::{SelectBatch, Selection, SelectionError, SelectionFrame};
use crate::series::aggregate::read_from;

/// Bytes of one request: Elasticsearch takes up to 100 MB.
const MAX_BODY: usize = 48 << 20;
/// Searches of one request.
const MAX_SEARCHES: usize = 2_000;
/// Rows of a search that are planned for, so that a denser stretch still fits its page.
const HEADROOM: f64 = 1.25;
/// Pieces that a slice is cut into when nothing is known of it, and when its rows were counted before.
const MAX_GUESSED: f64 = 8.0;
const MAX_PARTS: f64 = 64.0;
/// What is supposed of a selection that was never read: its groups, and its points a minute.
const GUESSED_GROUPS: f64 = 40.0;
const GUESSED_POINTS: f64 = 16.0;

/// A selection of the batch.
enum State<'a> {
    Folding(Box<Fold<'a>>),
    /// The server had no room for it.
    Overloaded(String),
    Failed(SelectionError),
}

/// What a selection came to.
pub struct Outcome {
    pub frame: Result<SelectionFrame, SelectionError>,
    /// Rows or documents a millisecond, where it was read whole.
    pub density: Option<f64>,
}

/// The whole batch.
pub struct Run<'a> {
    batch: &'a SelectBatch,
    forms: &'a [Result<Form, SelectionError>],
    states: Vec<State<'a>>,
    /// Rows or documents read of each selection.
    read: Vec<usize>,
    spent: Spent,
    pending: Vec<Search>,
    /// Searches of the next request at most: fewer after one that the server could not read.
    at_once: usize,
    /// Rows that a search may have, as the server said.
    page: usize,
}

impl<'a> Run<'a> {
    /// Everything still to be asked. `density` tells the rows a millisecond of selections that were read before; `page` is how
    /// many rows a search may have.
    pub fn new(
        batch: &'a SelectBatch,
        forms: &'a [Result<Form, SelectionError>],
        page: usize,
        density: impl Fn(&Selection) -> Option<f64>,
    ) -> Run<'a> {
        let mut pending = Vec::new();
        let mut states = Vec::new();
        for (index, (selection, form)) in batch.selections.iter().zip(forms).enumerate() {
            match form {
                Ok(form) => {
                    states.push(State::Folding(Box::new(Fold::new(selection, form))));
                    pending.extend(searches(index, selection, page, density(selection)));
                }
                Err(error) => states.push(State::Failed(error.clone())),
            }
        }
        let read = vec![0; states.len()];
        Run { batch, forms, states, read, spent: Spent::new(batch.limits), pending, at_once: MAX_SEARCHES, page }
    }

    /// The next request: its searches and its body. Those of selections that failed meanwhile are dropped.
    pub fn next_request(&mut self) -> Option<(Vec<Search>, Vec<u8>)> {
        let states = &self.states;
        self.pending.retain(|search| matches!(states[search.selection], State::Folding(_)));
        let mut body = Vec::new();
        let mut count = 0;
        for search in &self.pending {
            let Ok(form) = &self.forms[search.selection] else { continue };
            let lines = request::lines(search, &self.batch.selections[search.selection], form);
            if count > 0 && (body.len() + lines.len() > MAX_BODY || count == self.at_once) {
                break;
            }
            body.extend(lines);
            count += 1;
        }
        (count > 0).then(|| (self.pending.drain(..count).collect(), body))
    }

    /// Takes what was found by the searches of a request, and plans the pages that follow.
    pub fn take(&mut self, searches: Vec<Search>, items: Vec<Item<'_>>) {
        self.at_once = MAX_SEARCHES;
        for (search, item) in searches.into_iter().zip(items) {
            match item {
                Item::Found(found) => self.take_found(search, found),
                Item::Refused(refusal) => self.take_refusal(search, refusal),
            }
        }
    }

    fn take_found(&mut self, search: Search, mut found: Found<'_>) {
        let State::Folding(fold) = &mut self.states[search.selection] else { return };
        let next = match search.depth {
            Depth::Documents => documents_after(&search, &mut found),
            _ => Ok(rows_after(&search, &found)),
        };
        self.read[search.selection] += found.rows.len() + found.documents.len();
        match next.and_then(|next| fold.take(&found, &mut self.spent).map(|()| next)) {
            Ok(next) => self.pending.extend(next),
            Err(error) => self.states[search.selection] = State::Failed(error),
        }
    }

    fn take_refusal(&mut self, search: Search, refusal: Refusal) {
        let is_awaited = self.forms[search.selection].as_ref().is_ok_and(|form| form.is_awaited);
        if is_awaited && refusal.kind == NO_INDEX {
            return;
        }
        match refusal.max_size {
            Some(size) if size > 0 && size < search.size => {
                if search.depth != Depth::Documents {
                    self.page = self.page.min(size);
                }
                self.pending.push(Search { size, ..search });
            }
            _ if refusal.is_overload() => self.states[search.selection] = State::Overloaded(refusal.words),
            _ => self.states[search.selection] = State::Failed(SelectionError::Refused(refusal.words)),
        }
    }

    /// After the server could not read a request: half of its searches are asked for again, and one alone is refused.
    pub fn take_unreadable(&mut self, searches: Vec<Search>, words: String) {
        if let [only] = &searches[..] {
            self.states[only.selection] = State::Failed(SelectionError::Refused(words));
            return;
        }
        self.at_once = searches.len() / 2;
        self.pending.splice(0..0, searches);
    }

    /// How many rows a search of this server may have.
    pub fn page(&self) -> usize {
        self.page
    }

    /// Gives up what is still pending.
    pub fn give_up(&mut self, reason: &str) {
        for search in std::mem::take(&mut self.pending) {
            self.states[search.selection] = State::Failed(SelectionError::Refused(reason.to_owned()));
        }
    }

    /// What each selection came to. The error is for the whole batch: the server had no room for any of it.
    pub fn finish(self) -> Result<Vec<Outcome>, String> {
        let mut spent = self.spent;
        let overloaded = |state: &State<'_>| matches!(state, State::Overloaded(_));
        if let Some(State::Overloaded(words)) = self.states.first()
            && self.states.iter().all(overloaded)
        {
            return Err(words.clone());
        }
        let frames = self.states.into_iter().zip(&self.batch.selections).zip(self.read);
        let outcome = |((state, selection), read): ((State<'_>, &Selection), usize)| match state {
            State::Folding(fold) => {
                let span = selection.axis.to() - selection.axis.from();
                Outcome { frame: fold.finish(&mut spent), density: Some(read as f64 / span.max(1) as f64) }
            }
            State::Overloaded(words) => Outcome { frame: Err(SelectionError::Refused(words)), density: None },
            State::Failed(error) => Outcome { frame: Err(error), density: None },
        };
        Ok(frames.map(outcome).collect())
    }
}

/// The searches that read a selection, cut so that the answer of each fits a page as far as one can know.
fn searches(index: usize, selection: &Selection, page: usize, density: Option<f64>) -> Vec<Search> {
    let depth = Depth::of(selection.kind, selection.aggregate);
    let (slices, size) = match depth {
        Depth::Documents => {
            let from = read_from(selection.kind, &selection.axis);
            (vec![Slice { from, to: selection.axis.to(), interval: 1 }], HITS)
        }
        _ => (slice::slices(&selection.axis, selection.whole), page.min(PAGE)),
    };
    let search = |slice| Search { selection: index, depth, slice, size, after: None };
    let cut = |slice: Slice| {
        let length = (slice.to - slice.from) as f64;
        let parts = match (density, depth) {
            (Some(density), _) => (length * density * HEADROOM / size as f64).min(MAX_PARTS),
            (None, Depth::Buckets) if selection.group_by.is_empty() => (slice.buckets() + 1) as f64 / size as f64,
            (None, Depth::Buckets) => (slice.buckets() as f64 * GUESSED_GROUPS / size as f64).min(MAX_GUESSED),
            (None, _) => (length / 60_000.0 * GUESSED_POINTS / size as f64).min(MAX_GUESSED),
        };
        slice.cut((parts.ceil() as i64).clamp(1, slice.buckets()))
    };
    slices.into_iter().flat_map(cut).map(search).collect()
}

fn rows_after(search: &Search, found: &Found<'_>) -> Vec<Search> {
    match found.after {
        Some(after) if found.rows.len() >= search.size => {
            vec![Search { after: Some(after.to_owned()), ..search.clone() }]
        }
        _ => Vec::new(),
    }
}

/// Documents of a full page's last millisecond may be cut: they are left to the searches that follow, of which there are as
/// many as this page lets expect.
fn documents_after(search: &Search, found: &mut Found<'_>) -> Result<Vec<Search>, SelectionError> {
    let count = found.documents.len();
    let Some(last) = found.documents.last().and_then(|document| document.timestamp()) else { return Ok(Vec::new()) };
    if count < search.size {
        return Ok(Vec::new());
    }
    found.documents.retain(|document| document.timestamp() != Some(last));
    if found.documents.is_empty() {
        return Err(SelectionError::Refused(format!(
            "more than {count} points are in one millisecond; filter by more tags"
        )));
    }
    let rest = Slice { from: last, ..search.slice };
    let density = count as f64 / (last - search.slice.from).max(1) as f64;
    let parts = ((rest.to - rest.from) as f64 * density * HEADROOM / search.size as f64).ceil().min(MAX_PARTS) as i64;
    Ok(rest.cut(parts.clamp(1, rest.buckets())).map(|slice| Search { slice, ..search.clone() }).collect())
}
