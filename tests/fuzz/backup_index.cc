#include <cstdint>
#include <string>

#include "images/yaml_json.h"
#include "lxd-daemon/instances/backups/index.h"

/// backup/index.yaml of a backup: any bytes end in an index or an error, and its snapshots have names that
/// may become directories.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr;
    const auto object = images::yaml_to_json({reinterpret_cast<const char*>(data), size}, "The index");
    if (!object || !object->is_object()) return 0;
    for (const char* type : {"container", "custom"}) {
        const auto index = instances::parse_index(*object, type);
        if (!index) continue;
        if (!index->config.is_object()) __builtin_trap();
        for (const auto& name : index->snapshots) {
            if (name.empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0'))
                __builtin_trap();
            for (const char* list : {"snapshots", "volume_snapshots"}) {
                const auto* found = instances::object_named(index->config, list, name);
                if (found != nullptr && !found->is_object()) __builtin_trap();
            }
        }
    }
    return 0;
}
