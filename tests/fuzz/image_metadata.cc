#include <cstdint>
#include <cstdlib>
#include <string>

#include "images/image.h"

/// metadata.yaml: whatever is read is the same after writing and reading it again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::images;
    const auto metadata = parse_metadata(std::string(reinterpret_cast<const char*>(data), size));
    if (!metadata) return 0;
    const auto again = parse_metadata(to_yaml(*metadata));
    if (!again || again->properties != metadata->properties || again->templates != metadata->templates ||
        again->creation_date != metadata->creation_date || again->architecture != metadata->architecture) {
        std::abort();
    }
    return 0;
}
