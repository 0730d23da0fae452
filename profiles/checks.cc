#include "profiles/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <string>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"
#include "profiles/must.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::profiles::check {
namespace {

bool is_one_of(std::string_view value, std::initializer_list<std::string_view> words) {
    const std::string lower = to_lower(value);
    return std::ranges::any_of(words, [&](std::string_view word) { return lower == word; });
}

bool is_false(std::string_view value) { return is_one_of(value, {"false", "0", "no", "off"}); }

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

// What a parser of this room says, as the outcome of a check.
template <typename T>
Result<> parses(const Result<T>& parsed) {
    if (!parsed) return std::unexpected(parsed.error());
    return {};
}

}  // namespace

Result<> boolean(std::string_view, std::string_view value) {
    if (parse_bool(value) || is_false(value)) return {};
    return must("true or false");
}

Result<> integer(std::string_view, std::string_view value) {
    if (parse_int(value)) return {};
    return must("an integer");
}

Result<> natural(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 0) return {};
    return must("an integer of 0 or more");
}

Result<> positive(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number > 0) return {};
    return must("an integer of 1 or more");
}

Result<> text(std::string_view, std::string_view value) {
    std::string plain(value);
    std::erase_if(plain, [](char c) { return c == '\n' || c == '\t'; });
    if (has_control_chars(plain)) return must("without control characters other than newline and tab");
    return {};
}

Result<> proxy_url(std::string_view, std::string_view value) {
    const bool known = value.starts_with("http://") || value.starts_with("https://");
    if (known && !value.contains(' ') && value.size() > std::string_view("https://").size()) return {};
    return must("a URL such as http://proxy.example:3128");
}

Result<> days(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 0 && *number <= 100'000) return {};
    return must("an integer of 0 to 100000");
}

Result<> host_naming(std::string_view, std::string_view value) {
    if (value == "random" || value == "mac") return {};
    return must("random or mac");
}

Result<> backup_compression(std::string_view, std::string_view value) {
    constexpr std::string_view kNames[] = {"none", "gzip", "xz", "zstd"};
    if (std::ranges::find(kNames, value) != std::end(kNames)) return {};
    return must("none, gzip, xz or zstd");
}

Result<> image_compression(std::string_view, std::string_view value) {
    constexpr std::string_view kNames[] = {"none", "gzip", "pigz", "xz", "zstd", "pzstd", "squashfs"};
    if (std::ranges::find(kNames, value) != std::end(kNames)) return {};
    return must("none, gzip, xz, zstd or squashfs");
}

Result<> architecture(std::string_view, std::string_view value) {
    constexpr std::string_view kNames[] = {"x86_64", "i686",   "aarch64", "armv8l",  "armv7l",
                                           "armv6l", "ppc",    "ppc64",   "ppc64le", "s390x",
                                           "mips",   "mips64", "riscv32", "riscv64", "loongarch64"};
    if (std::ranges::find(kNames, value) != std::end(kNames)) return {};
    return must("an architecture such as x86_64 or aarch64");
}

Result<> memory_limit(std::string_view, std::string_view value) {
    constexpr std::uint64_t kAnyTotal = 1 << 30;  // so that percentages pass
    LX_TRY_AS(const auto bytes, parse_size(value, kAnyTotal));
    if (bytes == 0) return must("more than 0");
    return {};
}

Result<> memory_enforce(std::string_view, std::string_view value) {
    if (value == "hard" || value == "soft") return {};
    return must("hard or soft");
}

Result<> volume_type(std::string_view, std::string_view value) {
    if (value == "custom") return {};
    return fail(Status::bad_request, "only custom volumes can be attached");
}
Result<> file_system(std::string_view, std::string_view value) {
    if (value == "ext4" || value == "xfs" || value == "btrfs") return {};
    return fail(Status::bad_request, "must be ext4, xfs or btrfs");
}
Result<> volume_size(std::string_view, std::string_view value) { return parses(parse_size(value)); }

Result<> volume_place(std::string_view, std::string_view value) {
    const auto slash = value.find('/');
    const bool one = slash != std::string_view::npos && slash == value.rfind('/');
    if (one && slash > 0 && slash + 1 < value.size()) return {};
    return must("POOL/VOLUME, the pool and the name of a custom volume");
}

Result<> stripes(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 1 && *number <= 128) return {};
    return must("an integer between 1 and 128");
}

Result<> stripe_size(std::string_view, std::string_view value) {
    LX_TRY_AS(const auto bytes, parse_size(value));
    if (bytes >= 4096 && std::has_single_bit(bytes)) return {};
    return must("4KiB or a higher power of two");
}

Result<> hugepage_limit(std::string_view, std::string_view value) { return parses(parse_size(value)); }

Result<> swap_limit(std::string_view key, std::string_view value) {
    if (boolean(key, value) || parse_size(value)) return {};
    return must("true, false or a size such as 512MiB");
}

Result<> priority(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 0 && *number <= 10) return {};
    return must("an integer between 0 and 10");
}

Result<> numa_nodes(std::string_view, std::string_view value) {
    if (parse_cpu_set(value)) return {};
    return must("a set of NUMA nodes such as 0-1,3");
}

Result<> kernel_limit(std::string_view, std::string_view value) { return parses(parse_kernel_limit(value)); }

Result<> sysctl(std::string_view key, std::string_view) {
    constexpr std::string_view kPrefix = "linux.sysctl.";
    return parses(sysctl_path(key.substr(kPrefix.size())));
}

Result<> host_id(std::string_view, std::string_view value) {
    if (const auto number = parse_uint(value); number && *number > 0 && *number < UINT32_MAX) return {};
    return must("a number of 1 to 4294967294");
}

Result<> raw_idmap(std::string_view key, std::string_view value) {
    LX_TRY(text(key, value));
    return parses(parse_raw_idmap(value));
}

Result<> cpu_limit(std::string_view, std::string_view value) { return parses(parse_cpu_limit(value)); }
Result<> cpu_allowance(std::string_view, std::string_view value) {
    return parses(parse_cpu_allowance(value));
}

Result<> environment(std::string_view key, std::string_view) {
    const std::string_view name = key.substr(key.find('.') + 1);
    if (!name.empty() && name.find('=') == std::string_view::npos) return {};
    return fail(Status::bad_request, "needs a variable name without '=' after the dot");
}

Result<> absolute_path(std::string_view, std::string_view value) {
    if (!value.starts_with('/')) return must("an absolute path");
    for (const auto& part : split(value, '/')) {
        if (part == "." || part == "..") return must("a path without '.' and '..' in it");
    }
    if (value.size() > 4095) return must("at most 4095 bytes long");
    return {};
}

Result<> path_inside(std::string_view key, std::string_view value) {
    if (value.empty() || value.starts_with('/')) return absolute_path(key, value);
    return absolute_path(key, fmt::format("/{}", value));
}

Result<> disk_source(std::string_view key, std::string_view value) {
    // A path of the host, or the name of a volume: which of them is known only with "pool".
    if (!value.starts_with('/')) return text(key, value);
    return absolute_path(key, value);
}

Result<> propagation(std::string_view, std::string_view value) {
    if (value.starts_with('r')) value.remove_prefix(1);
    for (const char* word : {"private", "shared", "slave", "unbindable"}) {
        if (value == word) return {};
    }
    return must("private, shared, slave, unbindable, rprivate, rshared, rslave or runbindable");
}

Result<> interface_name(std::string_view, std::string_view value) {
    const bool good = !value.empty() && value.size() <= 15 && std::ranges::all_of(value, is_name_char);
    if (good && value.front() != '-' && value.front() != '.' && value != "lo") return {};
    return must(
        "an interface name: 1 to 15 letters, digits, '.', '_' and '-', the first a letter, a digit or '_'");
}

Result<> hwaddr(std::string_view, std::string_view value) {
    bool good = value.size() == 17;
    for (std::size_t i = 0; good && i < value.size(); ++i)
        good = i % 3 == 2 ? value[i] == ':' : is_hex(value[i]);
    if (!good) return must("a MAC address such as 00:16:3e:12:34:56");
    // The lowest bit of the first byte marks group addresses, IEEE 802.
    constexpr std::string_view kOdd = "13579bdfBDF";
    if (kOdd.find(value[1]) != std::string_view::npos)
        return must("the MAC address of one host, not of a group");
    return {};
}

Result<> mtu(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 1280 && *number <= 16384) return {};
    return must("between 1280 and 16384");
}

Result<> module_list(std::string_view, std::string_view value) {
    const auto is_name = [](const std::string& name) {
        const auto good = [](char c) {
            return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
        };
        return !name.empty() && name.size() <= 64 && name.front() != '-' && std::ranges::all_of(name, good);
    };
    for (const std::string& name : split(value, ','))
        if (!is_name(std::string(trim(name))))
            return must("names of kernel modules such as br_netfilter, with commas between");
    return {};
}
Result<> disk_rate(std::string_view, std::string_view value) { return parses(parse_disk_rate(value)); }
Result<> bit_rate(std::string_view, std::string_view value) { return parses(parse_bit_rate(value)); }
Result<> natural32(std::string_view, std::string_view value) {
    if (const auto number = parse_uint(value); number && *number <= 4294967295) return {};
    return must("a number from 0 to 4294967295");
}
Result<> tx_queue(std::string_view, std::string_view value) {
    if (const auto number = parse_uint(value); number && *number >= 1 && *number <= 1000000) return {};
    return must("a number from 1 to 1000000");
}
Result<> route_table(std::string_view, std::string_view value) {
    if (const auto number = parse_uint(value); number && *number >= 1 && *number <= 4294967295) return {};
    return must("a number from 1 to 4294967295");
}

Result<> route_tables(std::string_view key, std::string_view value) {
    for (const auto& part : split(std::string(value), ',')) LX_TRY(route_table(key, trim(part)));
    return {};
}

Result<> nic_type(std::string_view, std::string_view value) {
    if (is_one_of(value, {"bridged", "ipvlan", "macvlan", "p2p", "physical", "routed"})) return {};
    return fail(Status::bad_request,
                "must be bridged, ipvlan, macvlan, p2p, physical or routed: others are not supported by this "
                "server (yet)");
}

Result<> owner_id(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= 0 && *number < 4294967295) return {};
    return must("an id from 0 to 4294967294");
}

Result<> device_number(std::string_view, std::string_view value) {
    // 12 and 20 bits, Linux kdev_t.h.
    if (const auto number = parse_int(value); number && *number >= 0 && *number < 1 << 20) return {};
    return must("a number from 0 to 1048575");
}

Result<> file_mode(std::string_view, std::string_view value) {
    const bool octal = std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '7'; });
    const bool fits = value.size() == 3 || (value.size() == 4 && value.front() == '0');
    if (octal && fits) return {};
    return must("permissions in octal such as 0660");
}

Result<> shutdown_action(std::string_view, std::string_view value) {
    if (value == "stop" || value == "force-stop") return {};
    return must("stop or force-stop: stateful-stop is not supported by this server");
}

Result<> device_id(std::string_view, std::string_view value) {
    if (value.size() == 4 && std::ranges::all_of(value, is_hex)) return {};
    return must("four hexadecimal digits such as 1d6b");
}

Result<> pci_address(std::string_view, std::string_view value) {
    constexpr std::string_view kForm = "hhhh:hh:hh.h";
    const bool fits = value.size() == kForm.size() && std::ranges::equal(value, kForm, [](char c, char form) {
                          return form == 'h' ? is_hex(c) : c == form;
                      });
    if (fits) return {};
    return must("a PCI address such as 0000:01:00.0");
}

Result<> gpu_type(std::string_view, std::string_view value) {
    if (value == "physical") return {};
    return must("physical: others are not supported by this server (yet)");
}

Result<> proxy_bind(std::string_view, std::string_view value) {
    for (const char* word : {"host", "guest", "instance", "container"}) {
        if (value == word) return {};
    }
    return must("host or instance");
}

Result<> proxy_address(std::string_view, std::string_view value) {
    return parses(parse_proxy_address(value));
}

Result<> macvlan_mode(std::string_view, std::string_view value) {
    for (const char* word : {"bridge", "vepa", "passthru", "private"}) {
        if (value == word) return {};
    }
    return must("bridge, vepa, passthru or private");
}

Result<> ipvlan_mode(std::string_view, std::string_view value) {
    if (value == "l2" || value == "l3s") return {};
    return must("l2 or l3s");
}

Result<> snapshot_schedule(std::string_view, std::string_view value) {
    LX_TRY(next_scheduled(value, Time{}));
    return {};
}

Result<> snapshot_pattern(std::string_view, std::string_view value) {
    LX_TRY(expand_snapshot_pattern(value, Time{}));
    return {};
}

Result<> snapshot_expiry(std::string_view, std::string_view value) {
    LX_TRY(expiry_after(value, Time{}));
    return {};
}

}  // namespace lxmgr::profiles::check
