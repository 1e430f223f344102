//! The URL space, partitioned by claims: every request falls into one region, and a region has its own routes (design D4).

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    HostPattern, HostTable,
    matching::Target,
    route::Pattern,
    table::{RouteTable, radix},
};

/// The regions of a route set.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    unclaimed: Arc<Region>,
    claims: Arc<ClaimTable>,
    /// By their number in `claims`.
    claimed: Arc<[Arc<Region>]>,
}

/// A part of the URL space with routes of its own.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// The name of the claim; empty for what nobody has claimed.
    pub name: Arc<str>,
    pub tables: HostTable<Arc<RouteTable>>,
    /// Hostnames given by regular expression.
    pub regex_hosts: Vec<(Arc<Pattern>, Arc<RouteTable>)>,
}

/// Which region a host and a path are in. The regions are numbered by whoever makes the table.
#[derive(Debug, Default)]
pub struct ClaimTable {
    hosts: HostTable<Prefixes>,
    /// All of them as a person writes them, with their numbers; in order.
    shown: Vec<(String, u32)>,
}

/// The claimed paths of one hostname pattern.
#[derive(Clone, Debug)]
struct Prefixes(Arc<radix::Tree>);

impl Regions {
    /// One region for everything.
    pub fn single(region: Region) -> Self {
        Self {
            unclaimed: Arc::new(region),
            ..Self::default()
        }
    }

    /// A region for each number in `claims`, and one for all the rest.
    pub fn new(
        unclaimed: Arc<Region>,
        claims: Arc<ClaimTable>,
        claimed: Arc<[Arc<Region>]>,
    ) -> Self {
        Self {
            unclaimed,
            claims,
            claimed,
        }
    }

    /// The region of the most specific claim for host and path.
    pub fn find(&self, target: &Target<'_>) -> &Region {
        let number = self.claims.find(target.host, target.path);
        number
            .and_then(|number| self.claimed.get(number))
            .unwrap_or(&self.unclaimed)
    }

    /// That of what nobody has claimed first.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        let all = std::iter::once(&self.unclaimed).chain(&*self.claimed);
        all.map(|region| &**region)
    }

    /// What is claimed, as a person writes it, each with its region.
    pub fn cells(&self) -> impl Iterator<Item = (&str, &Region)> {
        let cells = self.claims.shown.iter();
        cells.filter_map(|(text, number)| {
            let region = self.claimed.get(usize::try_from(*number).ok()?)?;
            Some((&**text, &**region))
        })
    }
}

impl ClaimTable {
    /// From hostnames, each with a path [as claims see it](as_claimed) without a slash at its end, and the number of its region. Of equal ones the first
    /// counts.
    pub fn new<'c>(cells: impl IntoIterator<Item = (&'c HostPattern, &'c str, u32)>) -> Self {
        let mut hosts: BTreeMap<&HostPattern, BTreeMap<&str, u32>> = BTreeMap::new();
        for (host, path, number) in cells {
            hosts.entry(host).or_default().entry(path).or_insert(number);
        }
        let all = hosts.iter().flat_map(|(host, paths)| {
            let shown = move |(path, number): (&&str, &u32)| {
                if path.is_empty() {
                    (format!("{host}/"), *number)
                } else {
                    (format!("{host}{path}"), *number)
                }
            };
            paths.iter().map(shown)
        });
        let shown = all.collect();
        let hosts = hosts.into_iter().map(|(host, paths)| {
            let entries = paths.into_iter().flat_map(|(path, number)| {
                let below = (format!("{path}/"), false, number);
                // The root has nothing beside what is below it.
                let itself = (!path.is_empty()).then(|| (path.to_owned(), true, number));
                itself.into_iter().chain([below])
            });
            let tree = radix::Tree::new(entries.collect());
            (host.clone(), Prefixes(Arc::new(tree)))
        });
        Self {
            hosts: hosts.collect(),
            shown,
        }
    }

    /// The number of the region: of the most specific hostname that has some prefix of the path the longest one, by whole
    /// segments.
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        if self.hosts.is_empty() {
            return None;
        }
        let path = as_claimed(path);
        let found = self
            .hosts
            .find_map(host, |Prefixes(tree)| tree.last(path.as_bytes()));
        found.and_then(|number| usize::try_from(number).ok())
    }
}

/// A canonical path as claims see it: slashes that the installation lets through, several in a row and escaped ones, are as one.
/// To a server behind they may be that, so no spelling leads out of a region.
pub fn as_claimed(path: &str) -> Cow<'_, str> {
    let is_special = |pair: &[u8]| matches!(pair, b"//" | b"%2");
    if !path.as_bytes().windows(2).any(is_special) {
        return path.into();
    }
    let mut seen = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let is_escaped = |escape: &&str| escape.eq_ignore_ascii_case("%2F");
        let escaped = rest.get(..3).filter(is_escaped);
        rest = &rest[escaped.map_or(next.len_utf8(), str::len)..];
        match escaped.map_or(next, |_| '/') {
            '/' if seen.ends_with('/') => {}
            next => seen.push(next),
        }
    }
    seen.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_host_counts_and_then_the_longest_prefix_of_whole_segments() {
        let cells = [
            ("*", "", 0),
            ("*.example.com", "", 1),
            ("*.shop.example.com", "/a", 2),
            ("shop.example.com", "/cart", 3),
            ("shop.example.com", "/cart/vip", 4),
            ("shop.example.com", "/cart", 9),
        ];
        let hosts: Vec<HostPattern> = cells
            .iter()
            .map(|(host, ..)| host.parse().unwrap())
            .collect();
        let table = ClaimTable::new(
            hosts
                .iter()
                .zip(&cells)
                .map(|(host, (_, path, number))| (host, *path, *number)),
        );
        for (host, path, number) in [
            ("shop.example.com", "/cart", 3),
            ("shop.example.com", "/cart/", 3),
            ("shop.example.com", "/cart/1", 3),
            ("shop.example.com", "/cartoon", 1),
            ("shop.example.com", "/Cart", 1),
            ("shop.example.com", "/cart/vip", 4),
            ("shop.example.com", "/cart/vip/x", 4),
            ("shop.example.com", "/cart/vipx", 3),
            ("shop.example.com", "/", 1),
            ("x.shop.example.com", "/a/b", 2),
            ("x.shop.example.com", "/b", 1),
            ("example.com", "/cart", 0),
            ("other.org", "/", 0),
        ] {
            assert_eq!(table.find(host, path), Some(number), "{host}{path}");
        }
        assert_eq!(ClaimTable::default().find("a", "/"), None);
    }

    #[test]
    fn no_spelling_of_a_slash_leads_out_of_a_region() {
        let hosts: [HostPattern; 2] = ["x.com", "x.com"].map(|host| host.parse().unwrap());
        let cells = hosts.iter().zip([("/cart", 0), ("/cart/vip", 1)]);
        let table = ClaimTable::new(cells.map(|(host, (path, number))| (host, path, number)));
        for (path, seen, number) in [
            ("/cart/1", "/cart/1", Some(0)),
            ("//cart", "/cart", Some(0)),
            ("/cart//", "/cart/", Some(0)),
            ("/cart%2Fvip", "/cart/vip", Some(1)),
            ("/cart//vip%2F%2Fx", "/cart/vip/x", Some(1)),
            ("/%2F/cart%2fvipx", "/cart/vipx", Some(0)),
            ("/cart%20", "/cart%20", None),
            ("/cart%252Fvip", "/cart%252Fvip", None),
            ("/cartoon//", "/cartoon/", None),
            ("/x/cart", "/x/cart", None),
        ] {
            assert_eq!(as_claimed(path), seen);
            assert_eq!(as_claimed(seen), seen);
            assert_eq!(table.find("x.com", path), number, "{path}");
        }
    }
}
