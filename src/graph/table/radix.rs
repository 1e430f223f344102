//! A radix tree over bytes in a few flat arrays: no recursion to build, walk or drop it, however long the keys are.

use std::ops::Range;

use smallvec::SmallVec;

/// A key, whether it must be met exactly, and a value.
pub(in crate::graph) type Entry = (String, bool, u32);

/// Values by key.
#[derive(Clone, Debug, Default)]
pub(in crate::graph) struct Tree {
    nodes: Vec<Node>,
    /// What the labels of nodes, and the first bytes of their children, are parts of.
    bytes: Vec<u8>,
    /// What the values of nodes are parts of, each part ascending.
    values: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Of `bytes`: what follows the parent's key, then the first byte of the label of each child, ascending.
    label_and_branches: Parts,
    /// The node of the first branch; the others follow it.
    first_child: u32,
    /// Of `values`: those whose key this is, and any text may follow, then those where nothing may follow.
    prefix_and_exact: Parts,
}

/// Two parts of a list, one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    start: u32,
    middle: u32,
    end: u32,
}

/// The values met on a walk, merged: the least first.
#[derive(Debug, Default)]
pub(super) struct Cursor<'t> {
    /// Ascending lists, none empty.
    lists: SmallVec<[&'t [u32]; 8]>,
}

impl Tree {
    pub(in crate::graph) fn new(mut entries: Vec<Entry>) -> Self {
        let mut tree = Self::default();
        if entries.is_empty() {
            return tree;
        }
        entries.sort();
        tree.nodes.push(Node::default());
        // Nodes without a content yet, with the entries below them and the length of the parent's key.
        let mut open: Vec<(usize, Range<usize>, usize)> = vec![(0, 0..entries.len(), 0)];
        while let Some((node, range, depth)) = open.pop() {
            let below = &entries[range.clone()];
            let key_length = depth + tree.fill(node, below, depth);
            let mut start =
                range.start + below.partition_point(|(key, ..)| key.len() == key_length);
            let mut child = tree.nodes.len();
            tree.nodes[node].first_child = index(child);
            let mut branches: SmallVec<[u8; 32]> = SmallVec::new();
            while start < range.end {
                let byte = entries[start].0.as_bytes()[key_length];
                let same = |(key, ..): &Entry| key.as_bytes()[key_length] == byte;
                let end = start + entries[start..range.end].partition_point(same);
                branches.push(byte);
                tree.nodes.push(Node::default());
                open.push((child, start..end, key_length));
                child += 1;
                start = end;
            }
            tree.bytes.extend_from_slice(&branches);
            tree.nodes[node].label_and_branches.end = index(tree.bytes.len());
        }
        // Trees stay for long.
        tree.nodes.shrink_to_fit();
        tree.bytes.shrink_to_fit();
        tree.values.shrink_to_fit();
        tree
    }

    /// Gives a node its label and values, and returns the length of the label. Its branches are to follow.
    fn fill(&mut self, node: usize, below: &[Entry], depth: usize) -> usize {
        let (first, last) = (&below[0].0, &below[below.len() - 1].0);
        let ends = first.as_bytes()[depth..]
            .iter()
            .zip(&last.as_bytes()[depth..]);
        let common = ends.take_while(|(a, b)| a == b).count();
        let label = self.bytes.len();
        let text = &first.as_bytes()[depth..depth + common];
        self.bytes.extend_from_slice(text);
        self.nodes[node].label_and_branches = Parts::new(label, common, 0);
        let here = below.partition_point(|(key, ..)| key.len() == depth + common);
        // Sorted by key, then prefix before exact, then value.
        let prefixes = below[..here].partition_point(|(_, exact, _)| !exact);
        let start = self.values.len();
        self.values
            .extend(below[..here].iter().map(|(.., value)| *value));
        self.nodes[node].prefix_and_exact = Parts::new(start, prefixes, here - prefixes);
        common
    }

    /// The least value of the longest key that `text` begins with or, for an exact one, is.
    pub(in crate::graph) fn last(&self, text: &[u8]) -> Option<u32> {
        let mut cursor = Cursor::default();
        self.walk(text, false, &mut cursor);
        cursor.lists.last()?.first().copied()
    }

    /// Adds the values of all keys that `text` begins with, and of those exact ones that it is. With `fold`, the keys are in
    /// lower case and `text` is read so.
    pub(super) fn walk<'t>(&'t self, text: &[u8], fold: bool, cursor: &mut Cursor<'t>) {
        let mut rest = text;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            let label = node.label_and_branches.first(&self.bytes);
            let Some((head, tail)) = rest.split_at_checked(label.len()) else {
                return;
            };
            if head != label && !(fold && head.eq_ignore_ascii_case(label)) {
                return;
            }
            rest = tail;
            cursor.add(node.prefix_and_exact.first(&self.values));
            let Some(&byte) = rest.first() else {
                cursor.add(node.prefix_and_exact.second(&self.values));
                return;
            };
            let byte = if fold {
                byte.to_ascii_lowercase()
            } else {
                byte
            };
            next = match node
                .label_and_branches
                .second(&self.bytes)
                .binary_search(&byte)
            {
                Ok(branch) => self.nodes.get(node.first_child as usize + branch),
                Err(_) => None,
            };
        }
    }
}

impl Parts {
    /// Parts of these lengths.
    fn new(start: usize, first: usize, second: usize) -> Self {
        Self {
            start: index(start),
            middle: index(start + first),
            end: index(start + first + second),
        }
    }

    fn first<T>(self, all: &[T]) -> &[T] {
        &all[self.start as usize..self.middle as usize]
    }

    fn second<T>(self, all: &[T]) -> &[T] {
        &all[self.middle as usize..self.end as usize]
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("a tree must stay below 2^32 bytes")
}

impl<'t> Cursor<'t> {
    fn add(&mut self, list: &'t [u32]) {
        if !list.is_empty() {
            self.lists.push(list);
        }
    }
}

impl Iterator for Cursor<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (at, list) = self
            .lists
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, list)| list[0])?;
        let (value, rest) = list.split_first()?;
        let value = *value;
        *list = rest;
        if rest.is_empty() {
            self.lists.swap_remove(at);
        }
        Some(value)
    }
}
