#include "lxd-daemon/sys/device_filter.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "lxd-daemon/base/own.h"

namespace lxmgr::sys {
namespace {

using Program = std::vector<bpf_insn>;

bpf_insn instruction(int code, std::uint8_t to, std::uint8_t from, std::int16_t offset, std::int32_t value) {
    bpf_insn out{};
    out.code = static_cast<std::uint8_t>(code);
    out.dst_reg = to & 0xf;
    out.src_reg = from & 0xf;
    out.off = offset;
    out.imm = value;
    return out;
}
bpf_insn load_word(std::uint8_t to, std::int16_t offset) {
    return instruction(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offset, 0);
}
bpf_insn store_word(std::int16_t offset, std::uint8_t from) {
    return instruction(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, from, offset, 0);
}
void answer(Program& program, bool allowed) {
    program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allowed ? 1 : 0));
    program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

/// What the map is looked up by, as struct bpf_cgroup_dev_ctx has it.
struct DeviceKey {
    std::uint32_t kind, major, minor;
};
constexpr std::uint32_t kAnyMinor = ~std::uint32_t{0};
constexpr std::int16_t kKeyAt = -static_cast<std::int16_t>(sizeof(DeviceKey));
/// Of devices that are never taken away: no count of others comes near it.
constexpr std::uint32_t kAlways = 1U << 30;
constexpr std::uint32_t kMostDevices = 4096;
/// By it the next daemon finds the program, and by that the map.
constexpr char kFilterName[] = "lxmgr_devices";

DeviceKey key_of(const DeviceNumber& device) {
    const std::uint32_t kind = device.block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
    return {kind, device.major, device.minor.value_or(kAnyMinor)};
}

/// Answers yes when the map has the key that stands on the stack.
void look_up(Program& program, int map) {
    program.push_back(instruction(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map));
    program.push_back(instruction(0, 0, 0, 0, 0));
    program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0));
    program.push_back(instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, kKeyAt));
    program.push_back(instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem));
    program.push_back(instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0));
    answer(program, true);
}

/// r2: block or char, r3: what for, r4: major, r5: minor; struct bpf_cgroup_dev_ctx.
Program compile(int map) {
    Program program{load_word(BPF_REG_2, 0),
                    load_word(BPF_REG_3, 0),
                    instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff),
                    instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16),
                    load_word(BPF_REG_4, 4),
                    load_word(BPF_REG_5, 8),
                    instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 2, BPF_DEVCG_ACC_MKNOD)};
    answer(program, true);
    program.push_back(store_word(kKeyAt, BPF_REG_2));
    program.push_back(store_word(kKeyAt + 4, BPF_REG_4));
    program.push_back(store_word(kKeyAt + 8, BPF_REG_5));
    look_up(program, map);
    program.push_back(instruction(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, kKeyAt + 8,
                                  static_cast<std::int32_t>(kAnyMinor)));
    look_up(program, map);
    answer(program, false);
    return program;
}

long bpf(int command, bpf_attr& attributes) {
    return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}
template <typename T>
std::uint64_t address_of(T* object) {
    return reinterpret_cast<std::uint64_t>(object);
}

Result<UniqueFd> make_map() {
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_HASH;
    map.key_size = sizeof(DeviceKey);
    map.value_size = sizeof(std::uint32_t);
    map.max_entries = kMostDevices;
    map.map_flags = BPF_F_NO_PREALLOC;
    UniqueFd fd(static_cast<int>(bpf(BPF_MAP_CREATE, map)));
    if (!fd) return fail_errno("Making", "the list of devices");
    return fd;
}

/// How often a device was allowed; 0: not.
std::uint32_t count_of(int map, DeviceKey key) {
    std::uint32_t count = 0;
    bpf_attr find{};
    find.map_fd = static_cast<std::uint32_t>(map);
    find.key = address_of(&key);
    find.value = address_of(&count);
    return bpf(BPF_MAP_LOOKUP_ELEM, find) == 0 ? count : 0;
}

Result<> set_count(int map, DeviceKey key, std::uint32_t count) {
    bpf_attr change{};
    change.map_fd = static_cast<std::uint32_t>(map);
    change.key = address_of(&key);
    if (count != 0) change.value = address_of(&count);
    if (bpf(count != 0 ? BPF_MAP_UPDATE_ELEM : BPF_MAP_DELETE_ELEM, change) == 0) return {};
    if (count == 0 && errno == ENOENT) return {};
    return fail_errno("Changing", "the list of devices");
}

/// The map of a program that is ours; not valid: it is somebody else's.
UniqueFd map_of_program(std::uint32_t id) {
    bpf_attr open{};
    open.prog_id = id;
    const UniqueFd program(static_cast<int>(bpf(BPF_PROG_GET_FD_BY_ID, open)));
    std::uint32_t map_id = 0;
    bpf_prog_info info{};
    info.nr_map_ids = 1;
    info.map_ids = address_of(&map_id);
    bpf_attr ask{};
    ask.info.bpf_fd = static_cast<std::uint32_t>(program.get());
    ask.info.info_len = sizeof info;
    ask.info.info = address_of(&info);
    if (!program || bpf(BPF_OBJ_GET_INFO_BY_FD, ask) != 0 || std::strcmp(info.name, kFilterName) != 0)
        return UniqueFd();
    bpf_attr map{};
    map.map_id = map_id;
    return UniqueFd(static_cast<int>(bpf(BPF_MAP_GET_FD_BY_ID, map)));
}

/// Not valid: the group is not limited.
Result<UniqueFd> find_map(int cgroup_fd) {
    std::array<std::uint32_t, 64> ids{};  // as many as the kernel lets a group have
    bpf_attr query{};
    query.query.target_fd = static_cast<std::uint32_t>(cgroup_fd);
    query.query.attach_type = BPF_CGROUP_DEVICE;
    query.query.prog_ids = address_of(ids.data());
    query.query.prog_cnt = static_cast<std::uint32_t>(ids.size());
    if (bpf(BPF_PROG_QUERY, query) != 0) return fail_errno("Asking for", "the device filter");
    for (std::size_t i = 0; i < query.query.prog_cnt; ++i)
        if (UniqueFd map = map_of_program(ids.at(i))) return map;
    if (query.query.prog_cnt == 0) return UniqueFd();
    return fail(Status::not_implemented, "The device filter was made by an earlier version");
}

}  // namespace

Result<> limit_devices(int cgroup_fd, std::span<const DeviceNumber> always,
                       std::span<const DeviceNumber> given) {
    LX_TRY_AS(const UniqueFd map, make_map());
    for (const DeviceNumber& device : always) LX_TRY(set_count(map.get(), key_of(device), kAlways));
    for (const DeviceNumber& device : given) {
        const DeviceKey key = key_of(device);
        LX_TRY(set_count(map.get(), key, count_of(map.get(), key) + 1));
    }
    const Program program = compile(map.get());
    constexpr char kLicense[] = "GPL";
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = address_of(program.data());
    load.insn_cnt = static_cast<std::uint32_t>(program.size());
    load.license = address_of(kLicense);
    std::memcpy(load.prog_name, kFilterName, sizeof kFilterName);
    const UniqueFd loaded(static_cast<int>(bpf(BPF_PROG_LOAD, load)));
    if (!loaded) return fail_errno("Loading", "the device filter");
    bpf_attr attach{};
    attach.target_fd = static_cast<std::uint32_t>(cgroup_fd);
    attach.attach_bpf_fd = static_cast<std::uint32_t>(loaded.get());
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;  // systemd inside may add its own; all must agree
    if (bpf(BPF_PROG_ATTACH, attach) != 0) return fail_errno("Attaching", "the device filter");
    return {};
}

Result<> allow_device(int cgroup_fd, const DeviceNumber& device) {
    LX_TRY_AS(const UniqueFd map, find_map(cgroup_fd));
    if (!map) return {};
    const DeviceKey key = key_of(device);
    return set_count(map.get(), key, count_of(map.get(), key) + 1);
}

Result<> disallow_device(int cgroup_fd, const DeviceNumber& device) {
    LX_TRY_AS(const UniqueFd map, find_map(cgroup_fd));
    if (!map) return {};
    const DeviceKey key = key_of(device);
    const std::uint32_t count = count_of(map.get(), key);
    return count == 0 ? Result<>{} : set_count(map.get(), key, count - 1);
}

}  // namespace lxmgr::sys
