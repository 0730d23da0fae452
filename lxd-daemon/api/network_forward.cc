#include "lxd-daemon/api/network_forward.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {
namespace {

constexpr std::size_t kMaxPorts = 1000;

Result<> read_ports(Reader& reader, std::vector<NetworkForwardPort>& out) {
    const auto* array = reader.array("ports");
    if (array == nullptr) return {};
    if (array->size() > kMaxPorts) return fail(Status::bad_request, "ports: more than 1000 of them");
    out.clear();
    for (const auto& entry : *array) {
        if (!entry.is_object()) return fail(Status::bad_request, "ports must hold objects");
        NetworkForwardPort port;
        Reader fields(entry, "ports.");
        bool snat = false;
        LX_TRY(fields.text("description", port.description)
                   .text("protocol", port.protocol)
                   .text("listen_port", port.listen_port)
                   .text("target_port", port.target_port)
                   .text("target_address", port.target_address)
                   .flag("snat", snat)
                   .done());
        if (snat) return fail(Status::bad_request, "ports.snat is not supported by this server");
        out.push_back(std::move(port));
    }
    return {};
}

}  // namespace

nlohmann::json writable_fields(const NetworkForward& forward) {
    auto ports = nlohmann::json::array();
    for (const auto& port : forward.ports) {
        ports.push_back({{"description", port.description},
                         {"protocol", port.protocol},
                         {"listen_port", port.listen_port},
                         {"target_port", port.target_port},
                         {"target_address", port.target_address}});
    }
    return {{"description", forward.description}, {"config", forward.config}, {"ports", std::move(ports)}};
}

nlohmann::json etag_fields(const NetworkForward& forward) {
    auto out = writable_fields(forward);
    out["listen_address"] = forward.listen_address;
    return out;
}

nlohmann::json to_json(const NetworkForward& forward) {
    auto out = etag_fields(forward);
    out["location"] = "none";
    return out;
}

Result<NetworkForward> parse_network_forward(const nlohmann::json& body) {
    NetworkForward out;
    Reader reader(body);
    reader.text("listen_address", out.listen_address)
        .text("description", out.description)
        .map("config", out.config);
    LX_TRY(read_ports(reader, out.ports));
    LX_TRY(reader.done());
    drop_empty(out.config);
    return out;
}

Result<NetworkForward> patch_network_forward(const nlohmann::json& body, NetworkForward current) {
    ConfigMap config;
    Reader reader(body);
    reader.text("description", current.description).map("config", config);
    LX_TRY(read_ports(reader, current.ports));
    LX_TRY(reader.done());
    merge_config(config, current.config);
    return current;
}

}  // namespace lxmgr::api
