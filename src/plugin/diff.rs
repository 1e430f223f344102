//! `diff`: which requests change hands if a folder is applied.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::{
    Console,
    args::Common,
    difference::Difference,
    output::Page,
    said::DECIDING,
    source::{
        self,
        cluster::{self, Connection},
        folder,
    },
    state::doubts,
};

const WORDS: &str = "\
Words:
  introduced  an object has a problem that it does not have now
  fixed       a problem would be gone
  reworded    the same problem, told in other words
  gained      requests that nobody serves now
  lost        requests that nobody would serve any more
  moved       requests that would go elsewhere, or through another object
  shares      requests that would go where they go, in other shares
  changed     requests that would go where they go, and something else would be done with them; or what a Host or a Listener
              does with all of its requests

Each match is asked about with a request that stands for it: `-o json` shows which, for `why`.";

#[derive(Args, Debug)]
#[command(after_help = WORDS)]
pub(super) struct Diff {
    /// Compare with these manifests instead of the cluster
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,
}

impl Diff {
    pub(super) async fn page(&self, common: &Common, console: &mut Console<'_>) -> Result<Page> {
        if common.files.is_empty() {
            bail!("what would be applied? Name a folder with -f");
        }
        let (now, after) = if self.from.is_empty() {
            let connection = Connection::open(common).await?;
            let applied = common.in_namespace(connection.namespace.as_deref());
            let applied = folder::compile(&common.files, &applied)?;
            cluster::load_applied(&common.of_cluster(), &connection, &applied.set).await?
        } else {
            let now = source::load(&common.of_files(self.from.clone())).await?;
            let applied = folder::compile(&common.files, common)?;
            let after = folder::applied(&now, &applied.set)?;
            (now, after)
        };
        after.complain_of_objects(console)?;
        let (old, new) = (&now.compiled()?.graph, &after.compiled()?.graph);
        let difference = Difference::between((&now.views(), old), (&after.views(), new));
        let mut difference = difference.with_doubts(&doubts(&after));
        let unread = after.hidden(DECIDING).filter(|_| difference.moves());
        difference.files = after.files;
        let verdict = difference.verdict();
        let page = Page::new(&difference, verdict)?.with_text(difference.lines().join("\n"));
        Ok(page.with_doubt(unread))
    }
}
