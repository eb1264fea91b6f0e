//! One of several hosts that share a database: it stays alive, looks what the others do, and
//! follows what they have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::balance::{Free, balance};
use super::process::{default_name, identity, is_gone};
use super::{Deployments, Fault};
use model::change::VersionId;
use projection::Granted;
use read_model::{Changes, Identity, Look, State, Unit, VersionRecord};
use store::Lineage;

/// How often a host looks what the others do, if nobody tells it to look now: where the
/// database notifies of changes, and where it does not.
const LOOK_NOTIFIED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(900);

/// How often the lease is renewed while it lasts.
const RENEWALS: u32 = 3;

/// How soon it looks again if something was in the way.
const LOOK_SOON: Duration = Duration::from_millis(200);

/// How often a host that can't make events current tries whether it can.
const BARRED_AGAIN: Duration = Duration::from_secs(10);

/// Looks that come in a flurry are this far apart.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// How this host belongs to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Without a sign of life for so long, others take over what it folds.
    pub lease: Duration,
    /// What it is called, for people; by default the machine's name and the process's number.
    pub name: Option<String>,
}

impl Default for Membership {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10), name: None }
    }
}

impl Membership {
    /// What this host is called, for people.
    #[must_use]
    pub fn host_name(&self) -> String {
        self.name.clone().unwrap_or_else(default_name)
    }

    fn identity(&self) -> Identity {
        identity(&self.host_name())
    }
}

impl Deployments {
    /// Is one of the hosts from now on. Those whose process is known to be gone are not waited for.
    pub(super) async fn join(&self) -> Result<(), Fault> {
        self.bury_gone().await?;
        Ok(self.read_model.join(&self.membership.identity(), self.membership.lease).await?)
    }

    /// Stays alive, and follows the others, until the host ends.
    pub(super) async fn belong(&self) {
        let stop = self.stop.clone();
        let renewed = Mutex::new(Instant::now());
        // Looks may be farther apart than the lease lasts, and what is followed may take longer.
        let stay = async {
            loop {
                tokio::time::sleep(self.membership.lease / RENEWALS / 2).await;
                // Whoever looks next says what is in the way.
                drop(self.stay_alive(&renewed).await);
            }
        };
        let live = async {
            let lineage = self.store.lineage();
            let mut life = Life { followed: None, lineage, free: Free::new(), barred: None, fails: false };
            let mut changes = None;
            loop {
                let done = self.live_on(&mut life, &renewed).await;
                life.note(&done);
                if changes.is_none() {
                    changes = self.read_model.changes().await.ok();
                }
                let told = changes.as_ref().is_some_and(Changes::are_told);
                let pause = match done {
                    Ok(true) => {
                        if told {
                            LOOK_NOTIFIED
                        } else {
                            LOOK
                        }
                    }
                    // Somebody was at work here, or the database is away.
                    Ok(false) | Err(_) => LOOK_SOON,
                };
                let pause = pause.min(self.membership.lease / 4);
                tokio::time::sleep(LOOK_MIN).await;
                let change = async {
                    match &mut changes {
                        Some(changes) => changes.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = self.projections.leases().asked() => {}
                    () = change => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        };
        stop.run_until_cancelled(async { tokio::join!(live, stay) }).await;
    }

    /// Renews the lease, if a third of it has passed.
    async fn stay_alive(&self, renewed: &Mutex<Instant>) -> Result<(), Fault> {
        let mut renewed = renewed.lock().await;
        if renewed.elapsed() > self.membership.lease / RENEWALS {
            let began = Instant::now();
            if !self.read_model.renew(self.membership.lease).await? {
                tracing::warn!("this host was silent for longer than its lease, and others took over: it joins anew");
                self.join().await?;
            }
            *renewed = began;
        }
        Ok(())
    }

    /// Says whether everything that others have changed is followed.
    async fn live_on(&self, life: &mut Life, renewed: &Mutex<Instant>) -> Result<bool, Fault> {
        self.stay_alive(renewed).await?;
        let look = self.read_model.look().await?;
        self.hosts.store(look.hosts, Ordering::Relaxed);
        if look.hosts > 1 {
            self.bury_the_dead(&look).await?;
        }
        if std::mem::replace(&mut life.lineage, self.store.lineage()) != life.lineage {
            life.followed = None;
        }
        let is_new = life.followed != Some(look.revision);
        if is_new || life.barred.is_some_and(|since| since.elapsed() > BARRED_AGAIN) {
            life.barred = self.keep_up_with_upcasters().await?;
        }
        let is_all = !is_new || Box::pin(self.follow()).await?;
        if is_all {
            life.followed = Some(look.revision);
        }
        let has = |id: &VersionId| self.projections.has(id);
        let granted = balance(&look, self.read_model.host(), has, &mut life.free);
        let none = Granted::Some(BTreeSet::new());
        self.projections.leases().grant(if life.barred.is_some() { none } else { granted });
        self.projections.board().looked(&look, self.read_model.host());
        self.tell_others(&look).await?;
        self.look_at_raised(&look).await;
        self.read_model.settle_left_over().await;
        self.projections.leases().looked();
        Ok(is_all)
    }

    /// Frees at once what a process of this machine folded that is gone.
    async fn bury_the_dead(&self, look: &Look) -> Result<(), Fault> {
        let own = self.read_model.host();
        let others = look.units.iter().filter_map(|unit| unit.owner.as_ref()).any(|(owner, _)| owner != own);
        if others { self.bury_gone().await } else { Ok(()) }
    }

    async fn bury_gone(&self) -> Result<(), Fault> {
        let own = self.read_model.host();
        for other in self.read_model.hosts().await? {
            if other.host != own && is_gone(&other.identity) {
                tracing::info!("host {} is gone: what it folded is free", other.identity.name);
                self.read_model.bury(&other.host).await?;
            }
        }
        Ok(())
    }

    /// Lets versions begin anew that this host folds, or did until another one took them over, and
    /// that somebody has set back, resumed or taken.
    async fn look_at_raised(&self, look: &Look) {
        for unit in &look.units {
            let is_raised = self.projections.leases().is_raised(&(unit.id.clone(), unit.partition), unit.epoch);
            if is_raised && !self.projections.board().is_paused(&unit.id) {
                self.projections.resume(&unit.id).await;
            }
        }
    }

    /// Tells the others what keeps from going on what this host folds, if that is news to them.
    async fn tell_others(&self, look: &Look) -> Result<(), Fault> {
        let mut mine: BTreeMap<&VersionId, Vec<&Unit>> = BTreeMap::new();
        for unit in look.units.iter().filter(|unit| self.is_mine(unit)) {
            mine.entry(&unit.id).or_default().push(unit);
        }
        for (id, units) in mine {
            let trouble = self.projections.board().trouble(id);
            let is_told = |unit: &&Unit| match (&trouble, &unit.trouble) {
                (Some(trouble), Some(recorded)) => trouble.is_told(recorded),
                (trouble, recorded) => trouble.is_none() && recorded.is_none(),
            };
            let news: Vec<u32> = units.iter().filter(|unit| !is_told(unit)).map(|unit| unit.partition).collect();
            if !news.is_empty() {
                self.read_model.note_trouble(id, &news, trouble.as_ref()).await?;
            }
        }
        Ok(())
    }

    fn is_mine(&self, unit: &Unit) -> bool {
        unit.owner.as_ref().is_some_and(|(owner, _)| owner == self.read_model.host())
    }

    /// Lets those sets of upcasters work here that others have recorded. A host that can't folds
    /// nothing, and leaves all to hosts that can: since when.
    async fn keep_up_with_upcasters(&self) -> Result<Option<Instant>, Fault> {
        let board = self.projections.board();
        // In boxes of their own, for what follows is deep.
        match Box::pin(self.follow_upcasters()).await {
            Ok(()) => {
                if board.bar("", None) {
                    tracing::info!("this host can make events current again, and folds its share");
                }
                Ok(None)
            }
            Err(fault) if !fault.is_barring() => Err(fault),
            Err(fault) => {
                let why = format!("this host can't make events current, and leaves all projections to others: {fault}");
                if board.bar("upcasters_refused", Some(why.clone())) {
                    tracing::error!(code = "upcasters_refused", "{why}");
                }
                Ok(Some(Instant::now()))
            }
        }
    }

    /// Lets run here what is recorded, as far as nobody changes it just now. Says whether that
    /// was everything.
    async fn follow(&self) -> Result<bool, Fault> {
        let mut is_all = true;
        let records = self.read_model.versions().await?;
        let mut names: Vec<String> = records.iter().map(|record| record.id.projection.to_string()).collect();
        names.extend(self.projections.ids().iter().map(|id| id.projection.to_string()));
        names.sort_unstable();
        names.dedup();
        for name in names {
            match self.try_exclusively(&name, super::deployments::FOLLOWING) {
                Ok(_exclusive) => self.follow_projection(&name).await?,
                Err(_) => is_all = false,
            }
        }
        self.follow_files().await?;
        Ok(is_all)
    }

    async fn follow_projection(&self, name: &str) -> Result<(), Fault> {
        let records = self.read_model.versions_of(name).await?;
        for id in self.projections.ids().iter().filter(|id| id.projection.as_str() == name) {
            match records.iter().find(|known| known.id == *id) {
                Some(known) if known.state.is_standing() => {}
                Some(known) if known.state != State::Retired => {
                    if let Err(fault) = known.expect_known() {
                        tracing::warn!(projection = %id, code = fault.code(), "{fault}");
                    }
                    self.projections.give_up(id).await?;
                }
                _ => {
                    tracing::info!(projection = %id, "was retired by another host");
                    self.projections.end(id).await;
                }
            }
        }
        let is_standing = |record: &&VersionRecord| record.state.is_standing() && !self.is_ending(&record.id);
        for record in records.iter().filter(is_standing) {
            let Some(digest) = self.projections.board().digest(&record.id) else {
                match self.code_of(record).await {
                    Ok(code) => self.projections.run(record, code),
                    Err(fault) => tracing::debug!(projection = %record.id, "does not run here: {fault}"),
                }
                continue;
            };
            if digest != record.digest {
                match self.code_of(record).await {
                    Ok(code) => self.projections.replace(&record.id, code).await,
                    Err(fault) if fault.is_passing() => return Err(fault),
                    Err(fault) => {
                        tracing::error!(projection = %record.id, code = fault.code(), "can't go on with what was deployed, and is left to other hosts: {fault}");
                        self.projections.give_up(&record.id).await?;
                        continue;
                    }
                }
            }
            if record.live {
                self.projections.set_live(&record.id);
            }
            match (record.paused, self.projections.board().is_paused(&record.id)) {
                (true, false) => {
                    tracing::info!(projection = %record.id, "was paused at another host");
                    self.projections.pause(&record.id).await;
                }
                (false, true) => {
                    tracing::info!(projection = %record.id, "was resumed at another host");
                    self.projections.resume(&record.id).await;
                }
                _ => {}
            }
            self.projections.board().recorded(record);
        }
        Ok(())
    }
}

/// What a host remembers between two looks.
struct Life {
    /// What was changed is followed up to here. None if it is not known what there is: at first,
    /// and whenever the database may have been restored.
    followed: Option<i64>,
    lineage: Lineage,
    free: Free,
    /// Since when this host can't make events current.
    barred: Option<Instant>,
    /// Whether the last look failed.
    fails: bool,
}

impl Life {
    /// Says once that others can't be followed, and once that they can. That a database is away
    /// is told of it.
    fn note(&mut self, done: &Result<bool, Fault>) {
        if done.is_err() {
            self.followed = None;
        }
        let fails = match done {
            Err(fault) if fault.is_away() => return,
            Err(fault) => Some(fault),
            Ok(_) => None,
        };
        match (fails, self.fails) {
            (Some(fault), false) => tracing::warn!("can't look what other hosts do, trying again: {fault}"),
            (None, true) => tracing::info!("can look again what other hosts do"),
            _ => {}
        }
        self.fails = fails.is_some();
    }
}
