#include "lxd-daemon/rest/resources/kernel_files.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

namespace fs = std::filesystem;

bool is_pci_address(std::string_view text) {
    if (text.size() != 12) return false;
    constexpr std::string_view kForm = "hhhh:hh:hh.h";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool right =
            kForm[i] == 'h' ? std::isxdigit(static_cast<unsigned char>(text[i])) != 0 : text[i] == kForm[i];
        if (!right) return false;
    }
    return true;
}

}  // namespace

bool KernelFiles::has(const std::string& path) const {
    std::error_code error;
    return fs::exists(root_ + path, error);
}

std::string KernelFiles::text(const std::string& path) const { return read_file(root_ + path).value_or(""); }

std::string KernelFiles::line(const std::string& path) const {
    const auto read = read_file(root_ + path, 65536);
    return read && is_utf8(*read) ? std::string(trim(*read)) : std::string();
}

std::uint64_t KernelFiles::number(const std::string& path) const {
    return parse_uint(line(path)).value_or(0);
}

std::vector<std::string> KernelFiles::names(const std::string& path) const {
    std::vector<std::string> out;
    std::error_code error;
    for (fs::directory_iterator at(root_ + path, error), end; !error && at != end; at.increment(error)) {
        auto name = at->path().filename().string();
        if (!name.starts_with('.')) out.push_back(std::move(name));
    }
    std::ranges::sort(out);
    return out;
}

std::string KernelFiles::link(const std::string& path) const {
    std::error_code error;
    return fs::read_symlink(root_ + path, error).filename().string();
}

std::string KernelFiles::real(const std::string& path) const {
    std::error_code error;
    const std::string root = root_.empty() ? "" : fs::canonical(root_, error).string();
    const auto whole = fs::canonical(root_ + path, error).string();
    return error ? std::string() : whole.substr(std::min(root.size(), whole.size()));
}

std::vector<Fields> read_blocks(const std::string& text) {
    std::vector<Fields> blocks(1);
    for (const auto& line : split(text, '\n')) {
        const auto colon = line.find(':');
        if (colon != std::string::npos) {
            blocks.back().emplace(trim(std::string_view(line).substr(0, colon)),
                                  trim(std::string_view(line).substr(colon + 1)));
        } else if (trim(line).empty() && !blocks.back().empty()) {
            blocks.emplace_back();
        }
    }
    if (blocks.back().empty()) blocks.pop_back();
    return blocks;
}

std::string field_of(const Fields& fields, const std::string& name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string() : found->second;
}

std::set<std::uint64_t> parse_cpu_list(std::string_view text) {
    constexpr std::uint64_t kMostCpus = 65536;
    std::set<std::uint64_t> out;
    for (const auto& part : split(trim(text), ',')) {
        const auto dash = part.find('-');
        const auto first = parse_uint(part.substr(0, dash));
        const auto last = dash == std::string::npos ? first : parse_uint(part.substr(dash + 1));
        if (!first || !last || *last > kMostCpus) continue;
        for (auto cpu = *first; cpu <= *last; ++cpu) out.insert(cpu);
    }
    return out;
}

void set_text(nlohmann::json& object, const char* key, const std::string& value) {
    if (!value.empty()) object[key] = value;
}

std::string without_0x(const std::string& text) { return text.starts_with("0x") ? text.substr(2) : text; }

void set_driver(nlohmann::json& object, const KernelFiles& files, const std::string& device) {
    const auto driver = files.link(device + "/driver");
    if (driver.empty()) return;
    object["driver"] = driver;
    // Drivers of the kernel itself are as old as the kernel.
    const auto version = files.line(device + "/driver/module/version");
    object["driver_version"] = version.empty() ? files.line("/proc/sys/kernel/osrelease") : version;
}

std::uint64_t numa_node(const KernelFiles& files, const std::string& device) {
    for (auto at = files.real(device); at.size() > 1; at = at.substr(0, at.rfind('/'))) {
        if (files.has(at + "/numa_node")) return files.number(at + "/numa_node");  // "-1", none, is 0 too
    }
    return 0;
}

std::string pci_address(const KernelFiles& files, const std::string& device) {
    const auto parts = split(files.real(device), '/');
    const auto found = std::find_if(parts.rbegin(), parts.rend(), is_pci_address);
    return found == parts.rend() ? std::string() : *found;
}

std::string usb_address(const KernelFiles& files, const std::string& device) {
    for (auto at = files.real(device); at.size() > 1; at = at.substr(0, at.rfind('/'))) {
        if (files.has(at + "/busnum") && files.has(at + "/devnum"))
            return files.line(at + "/busnum") + ":" + files.line(at + "/devnum");
    }
    return {};
}

}  // namespace lxmgr::rest
