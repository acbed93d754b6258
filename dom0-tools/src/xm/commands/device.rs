//! Subcommands about devices and networks.

use super::{Command, Group, JSON, Opt, later, of_group, opt};

const FORCE: &[Opt] = &[opt(
    Some('f'),
    "force",
    "",
    "Do not wait for the guest, which loses the device at once.",
)];
const LIST: &[Opt] = &[
    opt(
        Some('l'),
        "long",
        "",
        "Print what the guest's driver says, in SXP.",
    ),
    JSON,
];

/// Devices of domains.
pub(super) const DEVICE: &[Command] = &[
    of_group(
        Group::Device,
        "block-attach",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Create a new virtual block device.",
        &[],
    ),
    of_group(
        Group::Device,
        "block-detach",
        "<Domain> <DevId> [-f|--force]",
        "Destroy a domain's virtual block device.",
        FORCE,
    ),
    of_group(
        Group::Device,
        "block-list",
        "<Domain> [--long]",
        "List virtual block devices for a domain.",
        LIST,
    ),
    of_group(
        Group::Device,
        "block-configure",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Change block device configuration.",
        &[],
    ),
    of_group(
        Group::Device,
        "network-attach",
        "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] ...",
        "Create a new virtual network device.",
        &[],
    ),
    of_group(
        Group::Device,
        "network-detach",
        "<Domain> <DevId|mac> [-f|--force]",
        "Destroy a domain's virtual network device.",
        FORCE,
    ),
    of_group(
        Group::Device,
        "network-list",
        "<Domain> [--long]",
        "List virtual network interfaces for a domain.",
        LIST,
    ),
    later(
        "network2-attach",
        "<Domain> ...",
        "Create a new version 2 virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network2-detach",
        "<Domain> <DevId> [-f|--force]",
        "Destroy a domain's version 2 virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network2-list",
        "<Domain> [--long]",
        "List version 2 virtual network interfaces for a domain.",
        Group::Device,
        false,
    ),
    later(
        "pci-attach",
        "[-o <options>] <Domain> <domain:bus:slot.func> [virtual slot]",
        "Insert a new pass-through pci device.",
        Group::Device,
        false,
    ),
    later(
        "pci-detach",
        "<Domain> <domain:bus:slot.func>",
        "Remove a domain's pass-through pci device.",
        Group::Device,
        false,
    ),
    later(
        "pci-list",
        "<Domain>",
        "List pass-through pci devices for a domain.",
        Group::Device,
        false,
    ),
    later(
        "pci-list-assignable-devices",
        "",
        "List all the assignable pci devices.",
        Group::Device,
        false,
    ),
    later(
        "scsi-attach",
        "<Domain> <PhysScsiDevice> <VirtScsiDevice> [BackDomain]",
        "Attach a new SCSI device.",
        Group::Device,
        false,
    ),
    later(
        "scsi-detach",
        "<Domain> <VirtScsiDevice>",
        "Detach a specified SCSI device.",
        Group::Device,
        false,
    ),
    later(
        "scsi-list",
        "<Domain> [--long]",
        "List all SCSI devices currently attached.",
        Group::Device,
        false,
    ),
    later(
        "usb-add",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Add the usb device to FV VM.",
        Group::Device,
        false,
    ),
    later(
        "usb-del",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Delete the usb device from FV VM.",
        Group::Device,
        false,
    ),
    later(
        "usb-attach",
        "<Domain> <DevId> <PortNumber> <BusId>",
        "Attach a new USB device.",
        Group::Device,
        false,
    ),
    later(
        "usb-detach",
        "<Domain> <DevId> <PortNumber>",
        "Detach a specified USB device.",
        Group::Device,
        false,
    ),
    later(
        "usb-list",
        "<Domain>",
        "List domain's attachment state of all virtual ports.",
        Group::Device,
        false,
    ),
    later(
        "usb-list-assignable-devices",
        "",
        "List all the assignable usb devices.",
        Group::Device,
        false,
    ),
    later(
        "usb-hc-create",
        "<Domain> <USBSpecVer> <NumberOfPorts>",
        "Create a domain's new virtual USB host controller.",
        Group::Device,
        false,
    ),
    later(
        "usb-hc-destroy",
        "<Domain> <DevId>",
        "Destroy a domain's virtual USB host controller.",
        Group::Device,
        false,
    ),
];

/// Networks between domains.
pub(super) const VNET: &[Command] = &[
    later(
        "vnet-list",
        "[-l|--long]",
        "List Vnets.",
        Group::Vnet,
        false,
    ),
    later(
        "vnet-create",
        "<ConfigFile>",
        "Create a vnet from ConfigFile.",
        Group::Vnet,
        false,
    ),
    later(
        "vnet-delete",
        "<VnetId>",
        "Delete a Vnet.",
        Group::Vnet,
        false,
    ),
    later(
        "network-new",
        "<NetworkName>",
        "Create a network.",
        Group::Vnet,
        false,
    ),
    later(
        "network-del",
        "<NetworkName>",
        "Delete a network.",
        Group::Vnet,
        false,
    ),
    later("network-show", "", "Show networks.", Group::Vnet, false),
];
