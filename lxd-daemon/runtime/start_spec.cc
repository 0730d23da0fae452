#include "lxd-daemon/runtime/start_spec.h"

#include "lxd-daemon/runtime/monitor_client.h"

namespace lxmgr::runtime {
namespace {

void write_text(wire::Writer& writer, const std::string& text) { writer.text(text.data(), text.size()); }

/// What a container's init is told: `container` is what LXD passes and systemd detects.
std::vector<std::string> environment_for(const StartRequest& request) {
    std::vector<std::string> out{"container=lxc", "container_uuid=" + request.uuid,
                                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                 "TERM=linux", "NOTIFY_SOCKET=/run/host/notify"};
    for (const std::string& variable : request.environment) {
        const std::string name = variable.substr(0, variable.find('=') + 1);
        std::erase_if(out, [&name](const std::string& present) { return present.starts_with(name); });
        out.push_back(variable);
    }
    return out;
}

void write_settings(wire::Writer& writer, const StartRequest& request, bool is_placed) {
    std::uint32_t flags = request.idmap.is_host() ? wire::kPrivileged : 0;
    if (request.nesting) flags |= wire::kNesting;
    if (request.syscalls != SyscallPolicy{}) flags |= wire::kSeccompLate;
    if (is_placed) flags |= wire::kPlaced;
    writer.u32(flags);
    writer.u64(request.extras.dropped_capabilities);
    write_text(writer, request.extras.apparmor_profile);
    writer.u32(static_cast<std::uint32_t>(request.kernel_limits.size()));
    for (const KernelLimit& limit : request.kernel_limits) {
        writer.u32(static_cast<std::uint32_t>(limit.resource));
        writer.u64(limit.soft);
        writer.u64(limit.hard);
    }
}

}  // namespace

void write_list(wire::Writer& writer, const std::vector<std::string>& strings) {
    writer.u32(static_cast<std::uint32_t>(strings.size()));
    for (const std::string& text : strings) write_text(writer, text);
}

Result<> send_start(int control, const StartRequest& request, const StartFds& fds, const Filters& filters) {
    std::vector<char> buffer(wire::kMaxMessage);
    wire::Writer writer(buffer.data(), buffer.size(), wire::Type::start);
    writer.u32(request.owner_uid);
    writer.u32(request.idmap.host_uid(0));
    writer.u32(request.idmap.host_gid(0));
    writer.u32(static_cast<std::uint32_t>(fds.cgroup_procs.size()));
    writer.u32(static_cast<std::uint32_t>(fds.keeper_procs.size()));
    writer.u32(static_cast<std::uint32_t>(request.attach.size()));
    write_text(writer, request.name);
    write_text(writer, request.hostname);
    write_text(writer, sys::IdMap::to_proc(request.idmap.uids));
    write_text(writer, sys::IdMap::to_proc(request.idmap.gids));
    writer.bytes(filters.syscalls.data(), filters.syscalls.size());
    writer.bytes(filters.intercepts.data(), filters.intercepts.size());
    for (const Attach& attach : request.attach) {
        writer.u32(attach.is_directory ? 1 : 0);
        write_text(writer, attach.target);
    }
    write_settings(writer, request, fds.is_placed);
    write_list(writer, request.init);
    write_list(writer, environment_for(request));
    std::vector<std::string> sysctls;
    for (const Sysctl& sysctl : request.sysctls) {
        sysctls.push_back(sysctl.path);
        sysctls.push_back(sysctl.value);
    }
    write_list(writer, sysctls);

    std::vector<int> all{request.root_fd, fds.dev, fds.cgroup, fds.console_log, fds.run_dir};
    all.insert(all.end(), fds.cgroup_procs.begin(), fds.cgroup_procs.end());
    all.insert(all.end(), fds.keeper_procs.begin(), fds.keeper_procs.end());
    for (const Attach& attach : request.attach) all.push_back(attach.mount_fd);
    return send_to_monitor(control, writer, all);
}

}  // namespace lxmgr::runtime
