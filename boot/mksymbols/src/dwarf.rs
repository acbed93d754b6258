//! From DWARF and the ELF symbols to the symbol table.
//!
//! DWARF can say for any one address which functions it belongs to and which line. The table needs the
//! answer for all addresses, so it is asked at each address where it can change: where a row of the line
//! tables begins, where a function or an inlined part of one begins or ends, and where an ELF symbol
//! does. Equal neighbours are merged when the table is encoded.

use crate::symbols::encode::{Encoder, Frame, Line};
use crate::{names, paths};
use addr2line::{Context, Location};
use gimli::{DwarfSections, EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;

/// Code below the canonical hole runs before there is anything that could print a backtrace.
const LOWEST_ADDRESS: u64 = 1 << 63;

/// The symbol table for the linked ELF file `input`.
pub fn table(input: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = object::File::parse(input)?;
    let Some((base, end)) = code_range(&file) else {
        return Err("no executable section in the upper half of the address space".into());
    };
    let code_len = u32::try_from(end - base).map_err(|_| "the code spans 4 GiB or more")?;
    let sections = DwarfSections::load(|id| section(&file, id.name()))?;
    let dwarf = sections.borrow(|data| EndianSlice::new(data, LittleEndian));
    let context =
        Context::from_dwarf(sections.borrow(|data| EndianSlice::new(data, LittleEndian)))?;
    let symbols = Functions::of(&file);

    let mut boundaries: BTreeSet<u64> = dwarf_boundaries(&dwarf)?;
    boundaries.extend(
        symbols
            .0
            .iter()
            .flat_map(|(&start, symbol)| [start, start + symbol.size]),
    );
    boundaries.insert(base);

    let repository = std::env::current_dir()?;
    let repository = repository.to_str().unwrap_or_default();
    let mut encoder = Encoder::new(base, code_len);
    for &address in boundaries.range(base..end) {
        let mut frames = frames_at(&context, address, repository)?;
        let symbol = symbols.at(address);
        let start = symbol.map_or(address, |(start, _)| start);
        if let Some((_, symbol)) = symbol {
            // DWARF with nothing but line tables leaves the path out of a function's name, and leaves the
            // function out if nothing is inlined into it.
            match frames.last_mut() {
                Some(outermost) => outermost.function.clone_from(&symbol.name),
                None => frames.push(Frame {
                    function: symbol.name.clone(),
                    line: line_at(&context, address, repository)?,
                }),
            }
        }
        encoder.set((address - base) as u32, (start - base) as u32, &frames);
    }
    Ok(encoder.finish())
}

/// The lowest address of executable sections and the one after their last byte.
fn code_range(file: &object::File<'_>) -> Option<(u64, u64)> {
    let code = file.sections().filter(|section| {
        let is_executable = match section.flags() {
            SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(object::elf::SHF_EXECINSTR),
            _ => false,
        };
        is_executable
            && section.kind() != SectionKind::UninitializedData
            && section.address() >= LOWEST_ADDRESS
    });
    code.map(|section| (section.address(), section.address() + section.size()))
        .reduce(|(low, high), (start, end)| (low.min(start), high.max(end)))
}

fn section<'a>(file: &object::File<'a>, name: &str) -> Result<&'a [u8], gimli::Error> {
    Ok(file
        .section_by_name(name)
        .and_then(|section| section.data().ok())
        .unwrap_or_default())
}

/// The addresses where DWARF's answer can change.
fn dwarf_boundaries(dwarf: &Dwarf<'_>) -> Result<BTreeSet<u64>, gimli::Error> {
    let mut boundaries = BTreeSet::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        if let Some(program) = unit.line_program.clone() {
            let mut rows = program.rows();
            while let Some((_, row)) = rows.next_row()? {
                boundaries.insert(row.address());
            }
        }
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            if !matches!(
                entry.tag(),
                gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine
            ) {
                continue;
            }
            let mut ranges = dwarf.die_ranges(&unit, entry)?;
            while let Some(range) = ranges.next()? {
                boundaries.extend([range.begin, range.end]);
            }
        }
    }
    Ok(boundaries)
}

/// What DWARF says about `address`, innermost function first; empty when it knows no function.
fn frames_at(
    context: &Context<Slice<'_>>,
    address: u64,
    repository: &str,
) -> Result<Vec<Frame>, gimli::Error> {
    let mut frames = Vec::new();
    let mut found = context.find_frames(address).skip_all_loads()?;
    while let Some(frame) = found.next()? {
        let Some(function) = frame.function else {
            break;
        };
        let line = frame
            .location
            .map_or_else(Line::default, |location| printed(&location, repository));
        frames.push(Frame {
            function: names::printed(&function.raw_name()?),
            line,
        });
    }
    Ok(frames)
}

/// The line of `address`, for a function that DWARF does not name.
fn line_at(
    context: &Context<Slice<'_>>,
    address: u64,
    repository: &str,
) -> Result<Line, gimli::Error> {
    let location = context.find_location(address)?;
    Ok(location.map_or_else(Line::default, |location| printed(&location, repository)))
}

fn printed(location: &Location<'_>, repository: &str) -> Line {
    let file = location
        .file
        .map_or("", |path| paths::printed(path, repository));
    Line {
        file: file.to_string(),
        line: location.line.unwrap_or(0),
    }
}

/// Functions by the address at which they start.
struct Functions(BTreeMap<u64, Function>);

struct Function {
    name: String,
    size: u64,
}

impl Functions {
    /// The functions in the ELF symbol table, assembly's included. A label without a size reaches up to
    /// the next symbol.
    fn of(file: &object::File<'_>) -> Self {
        let mut functions = BTreeMap::new();
        for symbol in file.symbols() {
            let in_code = symbol
                .section_index()
                .and_then(|index| file.section_by_index(index).ok())
                .is_some_and(|section| section.kind() == SectionKind::Text);
            let is_code = match symbol.kind() {
                SymbolKind::Text => true,
                SymbolKind::Unknown | SymbolKind::Label => in_code,
                _ => false,
            };
            let name = symbol.name().unwrap_or_default();
            if !is_code || name.is_empty() || symbol.address() < LOWEST_ADDRESS {
                continue;
            }
            let function = Function {
                name: names::printed(name),
                size: symbol.size(),
            };
            let known: &mut Function =
                functions
                    .entry(symbol.address())
                    .or_insert_with(|| Function {
                        name: function.name.clone(),
                        size: function.size,
                    });
            // Of several names for one address, the one that knows its size says more.
            if known.size < function.size {
                *known = function;
            }
        }
        let starts: Vec<u64> = functions.keys().copied().collect();
        for pair in starts.windows(2) {
            if let Some(function) = functions.get_mut(&pair[0])
                && function.size == 0
            {
                function.size = pair[1] - pair[0];
            }
        }
        Self(functions)
    }

    fn at(&self, address: u64) -> Option<(u64, &Function)> {
        let (&start, function) = self.0.range(..=address).next_back()?;
        (address - start < function.size.max(1)).then_some((start, function))
    }
}
