#include "lxmgr/device.h"

#include <fmt/format.h>

#include "lxmgr/table.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

Error no_device(const Object& object, const std::string& device) {
    return {Status::not_found, fmt::format("There is no device '{}' on {}", device, title(object)), 0};
}

/// A device of the profiles is there but not ours to change.
Error not_own(const Object& object, const Json& value, const std::string& device) {
    if (member(member(value, "expanded_devices"), device).is_null()) return no_device(object, device);
    return {
        Status::bad_request,
        fmt::format("Device '{}' of {} comes from a profile; use 'lxmgr config device override {} {}' first",
                    device, title(object), object.name, device),
        0};
}

Result<int> changed(Client& client, const Object& object, const std::function<Result<>(Json&)>& change) {
    LX_TRY(change_object(client, object, change));
    return 0;
}

}  // namespace

Result<int> device_list(Client& client, const Args& args, ObjectOf object_of) {
    LX_TRY_AS(const Json value, read_object(client, object_of(args.text("NAME"))));
    const Json& devices =
        value.contains("expanded_devices") ? value["expanded_devices"] : member(value, "devices");
    Table table{{"NAME", "TYPE", "FROM"}, {}};
    for (const auto& [name, device] : devices.items()) {
        const bool own = !member(member(value, "devices"), name).is_null();
        table.rows.push_back({name, text_member(device, "type"), own ? "own" : "profile"});
    }
    print_list(format_of(args.text("format")), table, devices);
    return 0;
}

Result<int> device_show(Client& client, const Args& args, ObjectOf object_of) {
    LX_TRY_AS(const Json value, read_object(client, object_of(args.text("NAME"))));
    print_object(Format::yaml, member(value, args.flag("expanded") ? "expanded_devices" : "devices"));
    return 0;
}

Result<int> device_add(Client& client, const Args& args, ObjectOf object_of) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    const Object object = object_of(args.text("NAME"));
    const std::string device = args.text("DEVICE");
    return changed(client, object, [&](Json& value) -> Result<> {
        if (!value["devices"].is_object()) value["devices"] = Json::object();
        if (value["devices"].contains(device)) {
            return fail(Status::conflict,
                        fmt::format("There is a device '{}' on {} already", device, title(object)));
        }
        value["devices"][device] = {{"type", args.text("TYPE")}};
        for (const auto& [key, text] : *pairs) value["devices"][device][key] = text;
        return {};
    });
}

Result<int> device_remove(Client& client, const Args& args, ObjectOf object_of) {
    const Object object = object_of(args.text("NAME"));
    return changed(client, object, [&](Json& value) -> Result<> {
        for (const auto& device : args.list("DEVICE")) {
            if (member(member(value, "devices"), device).is_null())
                return std::unexpected(not_own(object, value, device));
            value["devices"].erase(device);
        }
        return {};
    });
}

Result<int> device_get(Client& client, const Args& args, ObjectOf object_of) {
    const Object object = object_of(args.text("NAME"));
    LX_TRY_AS(const Json value, read_object(client, object));
    const char* from = value.contains("expanded_devices") ? "expanded_devices" : "devices";
    const Json& device = member(member(value, from), args.text("DEVICE"));
    if (device.is_null()) return std::unexpected(no_device(object, args.text("DEVICE")));
    fmt::print("{}\n", text_member(device, args.text("KEY")));
    return 0;
}

Result<int> device_set(Client& client, const Args& args, ObjectOf object_of) {
    const auto pairs = parse_settings(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    const Object object = object_of(args.text("NAME"));
    const std::string device = args.text("DEVICE");
    return changed(client, object, [&](Json& value) -> Result<> {
        if (member(member(value, "devices"), device).is_null())
            return std::unexpected(not_own(object, value, device));
        for (const auto& [key, text] : *pairs) value["devices"][device][key] = text;
        return {};
    });
}

Result<int> device_unset(Client& client, const Args& args, ObjectOf object_of) {
    const Object object = object_of(args.text("NAME"));
    const std::string device = args.text("DEVICE");
    return changed(client, object, [&](Json& value) -> Result<> {
        if (member(member(value, "devices"), device).is_null())
            return std::unexpected(not_own(object, value, device));
        value["devices"][device].erase(args.text("KEY"));
        return {};
    });
}

Result<int> device_override(Client& client, const Args& args, ObjectOf object_of) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    const Object object = object_of(args.text("NAME"));
    const std::string device = args.text("DEVICE");
    return changed(client, object, [&](Json& value) -> Result<> {
        const Json inherited = member(member(value, "expanded_devices"), device);
        if (inherited.is_null()) return std::unexpected(no_device(object, device));
        if (!value["devices"].is_object()) value["devices"] = Json::object();
        if (value["devices"].contains(device)) {
            return fail(
                Status::conflict,
                fmt::format("Device '{}' of {} is its own already; use 'device set'", device, title(object)));
        }
        value["devices"][device] = inherited;
        for (const auto& [key, text] : *pairs) value["devices"][device][key] = text;
        return {};
    });
}

}  // namespace lxmgr::cli
