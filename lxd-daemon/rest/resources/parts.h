#pragma once
#include <nlohmann/json.hpp>

#include "lxd-daemon/rest/resources/kernel_files.h"

/// The parts of GET /1.0/resources; keys as LXD's and Incus's clients read them.
namespace lxmgr::rest {

nlohmann::json cpu_resources(const KernelFiles& files);
nlohmann::json memory_resources(const KernelFiles& files);
nlohmann::json network_resources(const KernelFiles& files);
nlohmann::json storage_resources(const KernelFiles& files);
nlohmann::json gpu_resources(const KernelFiles& files);
nlohmann::json pci_resources(const KernelFiles& files);
nlohmann::json usb_resources(const KernelFiles& files);
nlohmann::json system_resources(const KernelFiles& files);
nlohmann::json load_resources(const KernelFiles& files);

}  // namespace lxmgr::rest
