#pragma once
#include <string>

#include "lxd-daemon/rest/resources/kernel_files.h"

namespace lxmgr::rest {

/// Names of PCI or USB devices by their ids, from the lists of Debian's packages pci.ids and usb.ids; without
/// them there are no names.
class HardwareNames {
public:
    HardwareNames(const KernelFiles& files, const std::string& list);  ///< "pci.ids"
    /// Sets vendor, vendor_id, product and product_id. Ids are four hex digits.
    void set(nlohmann::json& object, const std::string& vendor_id, const std::string& product_id) const;

private:
    std::string text_;
};

}  // namespace lxmgr::rest
