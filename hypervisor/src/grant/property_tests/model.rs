//! What grants mean, too plain to be wrong.

use super::*;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct MapInfo {
    pub(super) of: u16,
    pub(super) gref: u32,
    pub(super) write: bool,
    pub(super) host: bool,
    pub(super) device: bool,
    pub(super) by_entry: bool,
}

#[derive(Clone, Debug)]
pub(super) struct UseInfo {
    pub(super) grantee: u16,
    pub(super) frame: u64,
    /// Host read, host write, device read, device write.
    pub(super) counts: [u32; 4],
}

impl UseInfo {
    pub(super) fn any(&self) -> bool {
        self.counts.iter().any(|count| *count != 0)
    }

    pub(super) fn writes(&self) -> bool {
        self.counts[1] + self.counts[3] != 0
    }
}

#[derive(Clone, Default)]
pub(super) struct ModelDomain {
    pub(super) entries: Vec<(u32, u32)>,
    pub(super) uses: BTreeMap<u32, UseInfo>,
    pub(super) handles: BTreeMap<u32, MapInfo>,
    pub(super) free: VecDeque<u32>,
    pub(super) present: BTreeMap<u64, (u64, bool)>,
}

#[derive(Clone)]
pub(super) struct Model(pub(super) Vec<ModelDomain>);

pub(super) fn owned(frame: u64, by: u16) -> bool {
    frame / 16 == u64::from(by) && frame % 16 < 4
}

impl Model {
    pub(super) fn new() -> Self {
        let entries = vec![(0, 0); 512];
        let domain = ModelDomain {
            entries,
            free: (0..512).collect(),
            ..ModelDomain::default()
        };
        Self(vec![domain; usize::from(DOMAINS)])
    }

    pub(super) fn domain(&mut self, dom: u16) -> &mut ModelDomain {
        &mut self.0[usize::from(dom)]
    }

    /// Whether `by` may have `frame` of `of`.
    pub(super) fn frame(of: u16, frame: u64, write: bool) -> Result<(), Status> {
        if !owned(frame, of) {
            Err(Status::BadPage)
        } else if write && frame % 16 == 3 {
            Err(Status::GeneralError)
        } else {
            Ok(())
        }
    }

    pub(super) fn begin(
        &mut self,
        by: u16,
        of: u16,
        gref: u32,
        write: bool,
        kinds: &[usize],
        refused: u32,
    ) -> Result<u64, Status> {
        let domain = self.domain(of);
        let (head, frame) = *domain.entries.get(gref as usize).ok_or(Status::BadGntref)?;
        let in_use = domain.uses.get(&gref);
        if in_use.is_some_and(|it| it.grantee != by || it.counts.iter().any(|n| *n >= 128)) {
            return Err(Status::GeneralError);
        }
        if in_use.is_none_or(|it| write && !it.writes()) {
            let permits = head & 3 == 1
                && head >> 16 == u32::from(by)
                && head & refused == 0
                && !(write && head & 4 != 0)
                && in_use.is_none_or(|it| it.frame == u64::from(frame));
            if !permits {
                // A frame that changed under a reader is found after the mark was set, and undone.
                if in_use.is_some()
                    && head & 3 == 1
                    && head >> 16 == u32::from(by)
                    && head & refused == 0
                    && head & 4 == 0
                {
                    let head = &mut domain.entries[gref as usize].0;
                    *head = (*head | READING) & !WRITING;
                }
                return Err(Status::GeneralError);
            }
            domain.entries[gref as usize].0 |= READING | if write { WRITING } else { 0 };
        }
        let new = UseInfo {
            grantee: by,
            frame: u64::from(frame),
            counts: [0; 4],
        };
        let it = domain.uses.entry(gref).or_insert(new);
        for kind in kinds {
            it.counts[kind * 2 + usize::from(write)] += 1;
        }
        Ok(it.frame)
    }

    pub(super) fn finish(&mut self, of: u16, gref: u32, write: bool, kind: usize) {
        let domain = self.domain(of);
        let it = domain.uses.get_mut(&gref).expect("in use");
        it.counts[kind * 2 + usize::from(write)] -= 1;
        if write && !it.writes() {
            domain.entries[gref as usize].0 &= !WRITING;
        }
        if !it.any() {
            domain.entries[gref as usize].0 &= !READING;
            domain.uses.remove(&gref);
        }
    }

    pub(super) fn map(
        &mut self,
        by: u16,
        of: u16,
        gref: u32,
        flags: u32,
        at: u64,
    ) -> Result<(u32, u64), Status> {
        let (host, device, write, by_entry) = (
            flags & 2 != 0,
            flags & 1 != 0,
            flags & 4 == 0,
            flags & 16 != 0,
        );
        if !host && !device {
            return Err(Status::BadGntref);
        }
        if of >= DOMAINS {
            return Err(Status::BadDomain);
        }
        let number = self.domain(by).free.pop_front().ok_or(Status::NoSpace)?;
        let kinds: Vec<usize> = host
            .then_some(0)
            .into_iter()
            .chain(device.then_some(1))
            .collect();
        let result = self
            .begin(by, of, gref, write, &kinds, 0x100)
            .and_then(|frame| {
                let mut result = Self::frame(of, frame, write);
                // The target is looked at once the device's reference could be had.
                if host && (!device || result.is_ok()) {
                    let misaligned = by_entry && !at.is_multiple_of(8);
                    if misaligned || result.is_ok() && !is_mappable(at) {
                        result = Err(Status::GeneralError);
                    }
                }
                if result.is_err() {
                    for kind in &kinds {
                        self.finish(of, gref, write, *kind);
                    }
                }
                result.map(|()| frame)
            });
        match result {
            Ok(frame) => {
                if host {
                    self.domain(by).present.insert(at, (frame, write));
                }
                let info = MapInfo {
                    of,
                    gref,
                    write,
                    host,
                    device,
                    by_entry,
                };
                self.domain(by).handles.insert(number, info);
                Ok((number, frame << 12))
            }
            Err(status) => {
                self.domain(by).free.push_back(number);
                Err(status)
            }
        }
    }

    pub(super) fn unmap(
        &mut self,
        by: u16,
        handle: u32,
        at: u64,
        device: u64,
        source: Option<u64>,
    ) -> Result<(), Status> {
        let info = self
            .domain(by)
            .handles
            .get(&handle)
            .ok_or(Status::BadHandle)?
            .clone();
        let frame = self.domain(info.of).uses[&info.gref].frame;
        let ends_host = info.host && at != 0;
        let ends_device = info.device && device != 0;
        if ends_device && device != frame << 12 {
            return Err(Status::BadDevAddr);
        }
        if ends_host {
            let is_it = self.domain(by).present.get(&at) == Some(&(frame, info.write));
            let may_replace =
                source.is_none_or(|source| !info.by_entry && is_mappable(source) && source != at);
            if !is_it || !may_replace {
                return Err(Status::GeneralError);
            }
            self.domain(by).present.remove(&at);
            if let Some(moved) = source.and_then(|source| self.domain(by).present.remove(&source)) {
                self.domain(by).present.insert(at, moved);
            }
        }
        for (ends, kind) in [(ends_host, 0), (ends_device, 1)] {
            if ends {
                self.finish(info.of, info.gref, info.write, kind);
            }
        }
        let left = MapInfo {
            host: info.host && !ends_host,
            device: info.device && !ends_device,
            ..info
        };
        let domain = self.domain(by);
        if left.host || left.device {
            domain.handles.insert(handle, left);
        } else {
            domain.handles.remove(&handle);
            domain.free.push_back(handle);
        }
        Ok(())
    }

    /// Takes one end of a copy; returns what to finish.
    pub(super) fn copy_end(
        &mut self,
        by: u16,
        end: End,
        write: bool,
    ) -> Result<Option<(u16, u32)>, Status> {
        let of = if end.dom == DomId::SELF.0 {
            by
        } else {
            end.dom
        };
        if !end.is_grant {
            return Self::frame(by, end.frame, write).map(|()| None);
        }
        let gref = end.frame as u32;
        let frame = self.begin(by, of, gref, write, &[0], 0)?;
        match Self::frame(of, frame, write) {
            Ok(()) => Ok(Some((of, gref))),
            Err(status) => {
                self.finish(of, gref, write, 0);
                Err(status)
            }
        }
    }

    pub(super) fn copy(&mut self, by: u16, from: End, to: End, len: u16) -> Result<(), Status> {
        for end in [from, to] {
            if end.dom != DomId::SELF.0 && !end.is_grant {
                return Err(Status::PermissionDenied);
            }
            if end.dom != DomId::SELF.0 && end.dom >= DOMAINS {
                return Err(Status::BadDomain);
            }
        }
        let source = self.copy_end(by, from, false)?;
        let dest = self.copy_end(by, to, true);
        let result = match &dest {
            Err(status) => Err(*status),
            Ok(_) if u32::from(from.offset.max(to.offset)) + u32::from(len) > 4096 => {
                Err(Status::BadCopyArg)
            }
            Ok(_) => Ok(()),
        };
        for (end, write) in [(source, false), (dest.ok().flatten(), true)] {
            if let Some((of, gref)) = end {
                self.finish(of, gref, write, 0);
            }
        }
        result
    }

    /// The handle, and how it was mapped, that `UnmapRightly` means.
    pub(super) fn nth(&self, by: u16, nth: usize) -> Option<(u32, u64, u64)> {
        let domain = &self.0[usize::from(by)];
        let (handle, info) = domain.handles.iter().nth(nth)?;
        let frame = self.0[usize::from(info.of)].uses[&info.gref].frame;
        let at = domain
            .present
            .iter()
            .find(|(_, it)| **it == (frame, info.write))
            .map_or(0, |(at, _)| *at);
        Some((*handle, at, frame << 12))
    }

    pub(super) fn apply(&mut self, op: Op) -> String {
        match op {
            Op::Write {
                dom,
                gref,
                flags,
                grantee,
                frame,
            } => {
                self.domain(dom).entries[gref as usize] =
                    (u32::from(flags) | u32::from(grantee) << 16, frame);
                String::new()
            }
            Op::Revoke { dom, gref } => {
                let (head, _) = &mut self.domain(dom).entries[gref as usize];
                let may = *head & (READING | WRITING) == 0;
                if may {
                    *head = 0;
                }
                format!("{may}")
            }
            Op::Map {
                by,
                of,
                gref,
                flags,
                at,
            } => format!("{:?}", self.map(by, of, gref, flags, at)),
            Op::Unmap {
                by,
                handle,
                at,
                device,
            } => {
                format!("{:?}", self.unmap(by, handle, at, device, None))
            }
            Op::UnmapRightly {
                by,
                nth,
                host,
                device,
            } => match self.nth(by, nth) {
                Some((handle, at, address)) => {
                    let (at, address) =
                        (if host { at } else { 0 }, if device { address } else { 0 });
                    format!("{:?}", self.unmap(by, handle, at, address, None))
                }
                None => String::new(),
            },
            Op::Replace {
                by,
                handle,
                at,
                source,
            } => {
                let source = (source != 0).then_some(source);
                format!("{:?}", self.unmap(by, handle, at, 0, source))
            }
            Op::Copy { by, from, to, len } => format!("{:?}", self.copy(by, from, to, len)),
            Op::ClearEntry { by, at } => {
                self.domain(by).present.remove(&at);
                String::new()
            }
        }
    }
}
