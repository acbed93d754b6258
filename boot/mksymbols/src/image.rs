//! Writing the image: the linked ELF file with the table in its last segment, and only with what a boot
//! loader needs.
//!
//! The file is kept byte for byte up to the end of the last loadable segment, so that everything that the
//! linker has laid out stays where it is. Then follow the table (the segment's longer contents), the ELF
//! symbols with their names, and new section headers. DWARF is left out: GRUB loads every section that
//! the headers name.

use object::elf::{
    FileHeader64, PT_LOAD, ProgramHeader64, SHF_ALLOC, SHN_ABS, SHT_STRTAB, SHT_SYMTAB, STT_FILE,
    STT_SECTION, SectionHeader64, SectionType, Sym64, SymbolSection,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, U16, U32, U64, pod};
use std::collections::BTreeMap;
use std::error::Error;

const ENDIAN: LittleEndian = LittleEndian;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;
type Section = SectionHeader64<LittleEndian>;
type Symbol = Sym64<LittleEndian>;

/// The section at the end of the image that the table replaces.
const TABLE_SECTION: &[u8] = b".symbols";

/// The image: `input`, the linked ELF file, with `table` in it.
pub fn with_table(input: &[u8], table: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = Header::parse(input)?;
    let segments = header.program_headers(ENDIAN, input)?;
    let segments_offset = header.e_phoff(ENDIAN);
    let sections = header.sections(ENDIAN, input)?;

    let (table_index, table_section) = sections
        .section_by_name(ENDIAN, TABLE_SECTION)
        .ok_or("it has no section .symbols for the table (boot/linker.ld makes it)")?;
    let last = segments
        .iter()
        .rposition(|segment| segment.p_type(ENDIAN) == PT_LOAD && segment.p_memsz(ENDIAN) != 0)
        .ok_or("it has no loadable segment")?;
    let segment = &segments[last];
    let (offset, address) = (
        table_section.sh_offset(ENDIAN),
        table_section.sh_addr(ENDIAN),
    );
    if (segment.p_offset(ENDIAN), segment.p_vaddr(ENDIAN)) != (offset, address) {
        return Err("its last loadable segment does not begin with .symbols".into());
    }
    let others = segments.iter().enumerate().filter(|&(index, other)| {
        index != last && other.p_type(ENDIAN) == PT_LOAD && other.p_memsz(ENDIAN) != 0
    });
    for (_, other) in others {
        if other.p_offset(ENDIAN) + other.p_filesz(ENDIAN) > offset
            || other.p_paddr(ENDIAN) + other.p_memsz(ENDIAN) > segment.p_paddr(ENDIAN)
        {
            return Err("a loadable segment lies behind .symbols, which can't grow then".into());
        }
    }

    let mut output = input
        .get(..usize::try_from(offset)?)
        .ok_or("it ends within a segment")?
        .to_vec();
    output.extend_from_slice(table);

    // Loaded sections keep their place; symbols name their section by its number, which may change.
    let mut headers = Headers::new();
    let mut new_numbers = BTreeMap::new();
    for (index, section) in sections.enumerate().skip(1) {
        if !section.sh_flags(ENDIAN).contains(SHF_ALLOC) || section.sh_size(ENDIAN) == 0 {
            continue;
        }
        let mut copy = *section;
        if index == table_index {
            copy.sh_size = U64::new(ENDIAN, table.len() as u64);
        }
        new_numbers.insert(
            index.0,
            headers.push(sections.section_name(ENDIAN, section)?, copy),
        );
    }

    let symbols = sections.symbols(ENDIAN, input, SHT_SYMTAB)?;
    let (mut kept, mut names, mut nr_locals) = (vec![Symbol::default()], vec![0], 1);
    for symbol in symbols.iter().skip(1) {
        let section = symbol.st_shndx(ENDIAN);
        let number = match new_numbers.get(&usize::from(section.0)) {
            Some(&number) => SymbolSection(u16::try_from(number)?),
            None if section == SHN_ABS => SHN_ABS,
            None => continue,
        };
        if matches!(symbol.st_type(), STT_FILE | STT_SECTION) {
            continue;
        }
        let mut copy = *symbol;
        copy.st_name = U32::new(ENDIAN, u32::try_from(names.len())?);
        copy.st_shndx = U16::new(ENDIAN, number);
        names.extend_from_slice(symbol.name(ENDIAN, symbols.strings())?);
        names.push(0);
        kept.push(copy);
        nr_locals += u32::from(symbol.is_local());
    }

    output.resize(output.len().next_multiple_of(8), 0);
    let symbols_offset = output.len();
    output.extend_from_slice(pod::bytes_of_slice(&kept));
    let mut section = file_section(SHT_SYMTAB, symbols_offset, &output);
    section.sh_link = U32::new(ENDIAN, headers.next_number() + 1);
    section.sh_info = U32::new(ENDIAN, nr_locals);
    section.sh_addralign = U64::new(ENDIAN, 8);
    section.sh_entsize = U64::new(ENDIAN, size_of::<Symbol>() as u64);
    headers.push(b".symtab", section);

    let names_offset = output.len();
    output.extend_from_slice(&names);
    headers.push(b".strtab", file_section(SHT_STRTAB, names_offset, &output));

    headers.write(&mut output);
    let (number, offset) = (headers.next_number(), headers.offset);
    let (header, _) =
        pod::from_bytes_mut::<Header>(&mut output).map_err(|()| "it has no ELF header")?;
    header.e_shoff = U64::new(ENDIAN, offset as u64);
    header.e_shnum = U16::new(ENDIAN, u16::try_from(number)?);
    header.e_shstrndx = U16::new(ENDIAN, SymbolSection(u16::try_from(number - 1)?));

    let at = usize::try_from(segments_offset)? + last * size_of::<Segment>();
    let (segment, _) =
        pod::from_bytes_mut::<Segment>(&mut output[at..]).map_err(|()| "it ends too early")?;
    segment.p_filesz = U64::new(ENDIAN, table.len() as u64);
    segment.p_memsz = U64::new(ENDIAN, table.len() as u64);
    Ok(output)
}

/// The header of a section of `kind` that reaches from `offset` to the end of `output`.
fn file_section(kind: SectionType, offset: usize, output: &[u8]) -> Section {
    Section {
        sh_type: U32::new(ENDIAN, kind),
        sh_offset: U64::new(ENDIAN, offset as u64),
        sh_size: U64::new(ENDIAN, (output.len() - offset) as u64),
        sh_addralign: U64::new(ENDIAN, 1),
        ..null_section()
    }
}

fn null_section() -> Section {
    let (null, _) =
        pod::from_bytes(&[0; size_of::<Section>()]).expect("the header needs no alignment");
    *null
}

/// Section headers and their names.
struct Headers {
    headers: Vec<Section>,
    names: Vec<u8>,
    /// Where [`Headers::write`] has put them in the file.
    offset: usize,
}

impl Headers {
    /// The null header alone.
    fn new() -> Self {
        Self {
            headers: vec![null_section()],
            names: vec![0],
            offset: 0,
        }
    }

    fn next_number(&self) -> u32 {
        self.headers.len() as u32
    }

    /// Adds a header and returns its number.
    fn push(&mut self, name: &[u8], mut header: Section) -> u32 {
        header.sh_name = U32::new(ENDIAN, self.names.len() as u32);
        self.names.extend_from_slice(name);
        self.names.push(0);
        self.headers.push(header);
        self.next_number() - 1
    }

    /// Appends the names and the headers to the file; the names' own header becomes the last.
    fn write(&mut self, output: &mut Vec<u8>) {
        let names_offset = output.len();
        output.extend_from_slice(&self.names);
        output.extend_from_slice(b".shstrtab\0");
        let section = file_section(SHT_STRTAB, names_offset, output);
        self.push(b".shstrtab", section);
        output.resize(output.len().next_multiple_of(8), 0);
        self.offset = output.len();
        output.extend_from_slice(pod::bytes_of_slice(&self.headers));
    }
}
