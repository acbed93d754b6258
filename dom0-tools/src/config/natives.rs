//! What configuration files find as if they had imported it, and `xm_vars`.
//!
//! None of it reaches files or processes: what would is refused with a sentence. Addresses are those that the host's
//! default route has.

// The macro that makes functions of the language expands to code that says `unsafe`; nothing here does.
#![allow(unsafe_code)]

use super::format::percent_format;
use starlark::any::ProvidesStaticType;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::tuple::TupleRef;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What the functions know of the file that is evaluated.
#[derive(Debug, Default, ProvidesStaticType)]
pub(super) struct Surroundings {
    /// Variables of the command line that are no options.
    pub variables: BTreeMap<String, String>,
    /// What `xm_vars.var` has declared: names, and whether there is a check.
    pub declared: RefCell<Vec<Declared>>,
}

/// A variable that the file wants from the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Declared {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub usage: String,
    /// The name of the module's variable that holds the check.
    pub check: Option<String>,
}

fn surroundings<'a>(eval: &Evaluator<'_, 'a, '_>) -> anyhow::Result<&'a Surroundings> {
    eval.extra
        .and_then(|extra| extra.downcast_ref::<Surroundings>())
        .ok_or_else(|| anyhow::anyhow!("no file is evaluated"))
}

fn refused(what: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{what} is not available: a configuration file reaches no files and no processes; \
         give the value on the command line as VAR=VALUE instead"
    )
}

#[starlark_module]
fn top_level(builder: &mut GlobalsBuilder) {
    /// The `%` operator of Python for what Starlark's does not know.
    fn percent<'v>(format: &str, operand: Value<'v>) -> anyhow::Result<String> {
        let operands: Vec<Value<'v>> = match TupleRef::from_value(operand) {
            Some(tuple) => tuple.iter().collect(),
            None => vec![operand],
        };
        let texts: Vec<_> = operands
            .iter()
            .map(|operand| match operand.unpack_str() {
                Some(text) => text.to_owned(),
                None => operand.to_str(),
            })
            .collect();
        percent_format(format, &texts).map_err(anyhow::Error::msg)
    }

    fn execfile(_path: &str) -> anyhow::Result<NoneType> {
        Err(refused("execfile"))
    }

    fn open(_path: &str) -> anyhow::Result<NoneType> {
        Err(refused("open"))
    }

    fn get_current_ipaddr(
        #[starlark(default = "defaultroute")] _dev: &str,
    ) -> anyhow::Result<String> {
        Ok(super::addresses::default_route().address)
    }

    fn get_current_ipmask(
        #[starlark(default = "defaultroute")] _dev: &str,
    ) -> anyhow::Result<String> {
        Ok(super::addresses::default_route().mask)
    }

    fn get_current_ipgw(
        #[starlark(default = "defaultroute")] _dev: &str,
    ) -> anyhow::Result<String> {
        Ok(super::addresses::default_route().gateway)
    }

    fn inet_aton(ip: &str) -> anyhow::Result<i64> {
        Ok(i64::from(u32::from(ip.parse::<std::net::Ipv4Addr>()?)))
    }

    fn inet_ntoa(number: i64) -> anyhow::Result<String> {
        let number = u32::try_from(number)?;
        Ok(std::net::Ipv4Addr::from(number).to_string())
    }

    fn add_offset_to_ip(ip: &str, offset: i64) -> anyhow::Result<String> {
        let number = i64::from(u32::from(ip.parse::<std::net::Ipv4Addr>()?));
        let moved = u32::try_from(number.saturating_add(offset))?;
        Ok(std::net::Ipv4Addr::from(moved).to_string())
    }

    fn check_subnet(ip: &str, net: &str, mask: &str) -> anyhow::Result<bool> {
        let number = |text: &str| text.parse::<std::net::Ipv4Addr>().map(u32::from);
        let mask = number(mask)?;
        Ok(number(ip)? & mask == number(net)? & mask)
    }
}

#[starlark_module]
fn os(builder: &mut GlobalsBuilder) {
    const name: &str = "posix";

    fn uname<'v>(eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<Value<'v>> {
        let uname = nix::sys::utsname::uname()?;
        let parts = [
            uname.sysname(),
            uname.nodename(),
            uname.release(),
            uname.version(),
            uname.machine(),
        ];
        let parts: Vec<_> = parts
            .iter()
            .map(|part| eval.heap().alloc(&*part.to_string_lossy()))
            .collect();
        Ok(eval
            .heap()
            .alloc(starlark::values::tuple::AllocTuple(parts)))
    }

    fn popen(_command: &str) -> anyhow::Result<NoneType> {
        Err(refused("os.popen"))
    }

    fn system(_command: &str) -> anyhow::Result<NoneType> {
        Err(refused("os.system"))
    }

    fn listdir(_path: &str) -> anyhow::Result<NoneType> {
        Err(refused("os.listdir"))
    }

    fn getenv(name: &str) -> anyhow::Result<NoneOr<String>> {
        Ok(NoneOr::from_option(std::env::var(name).ok()))
    }
}

#[starlark_module]
fn os_path(builder: &mut GlobalsBuilder) {
    fn exists(_path: &str) -> anyhow::Result<bool> {
        Err(refused("os.path.exists"))
    }

    fn isfile(_path: &str) -> anyhow::Result<bool> {
        Err(refused("os.path.isfile"))
    }

    fn basename(path: &str) -> anyhow::Result<String> {
        Ok(path.rsplit('/').next().unwrap_or_default().to_owned())
    }

    fn dirname(path: &str) -> anyhow::Result<String> {
        Ok(path
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory)
            .to_owned())
    }

    fn join(first: &str, second: &str) -> anyhow::Result<String> {
        let joined = std::path::Path::new(first).join(second);
        Ok(joined.to_string_lossy().into_owned())
    }
}

#[starlark_module]
fn re(builder: &mut GlobalsBuilder) {
    /// The groups of the first match, the whole one first; `None` if there is no match.
    fn search(pattern: &str, text: &str) -> anyhow::Result<NoneOr<Vec<String>>> {
        Ok(NoneOr::from_option(groups(pattern, text)?))
    }

    fn r#match(pattern: &str, text: &str) -> anyhow::Result<NoneOr<Vec<String>>> {
        Ok(NoneOr::from_option(groups(
            &format!("^(?:{pattern})"),
            text,
        )?))
    }

    fn sub(pattern: &str, replacement: &str, text: &str) -> anyhow::Result<String> {
        let replaced = regex::Regex::new(pattern)?.replace_all(text, replacement);
        Ok(replaced.into_owned())
    }
}

fn groups(pattern: &str, text: &str) -> anyhow::Result<Option<Vec<String>>> {
    let found = regex::Regex::new(pattern)?.captures(text).map(|captures| {
        captures
            .iter()
            .map(|group| group.map_or(String::new(), |group| group.as_str().to_owned()))
            .collect()
    });
    Ok(found)
}

#[starlark_module]
fn xm_vars(builder: &mut GlobalsBuilder) {
    fn var<'v>(
        name: &str,
        #[starlark(default = "")] r#use: &str,
        #[starlark(default = NoneOr::None)] check: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let check = check.into_option().map(|check| {
            let holder = format!("_check_of_{name}");
            eval.module().set(&holder, check);
            holder
        });
        surroundings(eval)?.declared.borrow_mut().push(Declared {
            name: name.to_owned(),
            usage: r#use.to_owned(),
            check,
        });
        Ok(NoneType)
    }

    fn check<'v>(eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<NoneType> {
        let surroundings = surroundings(eval)?;
        let declared = surroundings.declared.borrow().clone();
        for Declared { name, check, .. } in declared {
            let given = match surroundings.variables.get(&name) {
                Some(text) => eval.heap().alloc(text.as_str()),
                None => Value::new_none(),
            };
            let value = match check.and_then(|holder| eval.module().get(&holder)) {
                Some(function) => {
                    let name_value = eval.heap().alloc(name.as_str());
                    let checked = eval.eval_function(function, &[name_value, given], &[]);
                    checked.map_err(|error| {
                        anyhow::anyhow!("{name} - {}", super::evaluate::plain_message(&error))
                    })?
                }
                None => given,
            };
            eval.module().set(&name, value);
        }
        Ok(NoneType)
    }
}

/// Everything that files find.
#[must_use]
pub(super) fn globals() -> starlark::environment::Globals {
    use starlark::environment::LibraryExtension;
    let library = [
        LibraryExtension::Print,
        LibraryExtension::Map,
        LibraryExtension::Filter,
    ];
    let mut builder = GlobalsBuilder::extended_by(&library).with(top_level);
    builder.namespace("os", |builder| {
        os(builder);
        builder.namespace("path", os_path);
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        builder.set("environ", starlark::values::dict::AllocDict(environment));
    });
    builder.namespace("re", re);
    builder.namespace("xm_vars", xm_vars);
    builder.namespace("sys", |builder| {
        builder.set("platform", "linux2");
        builder.set("argv", starlark::values::list::AllocList::EMPTY);
    });
    builder.build()
}
