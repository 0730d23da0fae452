#include "lxd-daemon/rest/resources/hardware_names.h"

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

/// The name in the line that begins with `beginning`, searched for from `from` to `end`.
/// @return where the line ends; npos: there is none
std::size_t find_name(const std::string& text, const std::string& beginning, std::size_t from,
                      std::size_t end, std::string& name) {
    const auto at = text.find("\n" + beginning + "  ", from);
    if (at == std::string::npos || at >= end) return std::string::npos;
    const auto begin = at + 1 + beginning.size() + 2;
    const auto stop = std::min(text.find('\n', begin), text.size());
    if (is_utf8(std::string_view(text).substr(begin, stop - begin)))
        name = trim(std::string_view(text).substr(begin, stop - begin));
    return stop;
}

/// Where the vendor's indented lines end.
std::size_t block_end(const std::string& text, std::size_t from) {
    for (auto at = from; at != std::string::npos && at + 1 < text.size(); at = text.find('\n', at + 1)) {
        if (text[at + 1] != '\t') return at;
    }
    return text.size();
}

}  // namespace

HardwareNames::HardwareNames(const KernelFiles& files, const std::string& list)
    : text_("\n" + files.text("/usr/share/misc/" + list)) {
    if (text_.size() == 1) text_ += files.text("/usr/share/hwdata/" + list);
}

void HardwareNames::set(nlohmann::json& object, const std::string& vendor_id,
                        const std::string& product_id) const {
    set_text(object, "vendor_id", vendor_id);
    set_text(object, "product_id", product_id);
    if (vendor_id.empty()) return;
    std::string vendor, product;
    const auto after = find_name(text_, vendor_id, 0, text_.size(), vendor);
    if (after != std::string::npos && !product_id.empty())
        find_name(text_, "\t" + product_id, after, block_end(text_, after) + 1, product);
    set_text(object, "vendor", vendor);
    set_text(object, "product", product);
}

}  // namespace lxmgr::rest
