#include <cstdint>
#include <string_view>

#include "images/template.h"

/// Templates of image archives: any bytes end in text or an error, in bounded time.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::images;
    static const lxmgr::api::ConfigMap kConfig{{"a", "b"}};
    TemplateInput input;
    input.variables = {{"container", {{"name", "c"}}}, {"devices", {{"eth0", {{"type", "nic"}}}}}, {"n", 3}};
    input.config = &kConfig;
    (void)render_template({reinterpret_cast<const char*>(data), size}, input);
    return 0;
}
