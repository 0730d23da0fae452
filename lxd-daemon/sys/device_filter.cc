#include "lxd-daemon/sys/device_filter.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

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
bpf_insn jump_unless(std::uint8_t reg, unsigned value, std::int16_t over) {
    return instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, over, static_cast<std::int32_t>(value));
}
void answer(Program& program, bool allowed) {
    program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allowed ? 1 : 0));
    program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

/// r2: block or char, r3: what for, r4: major, r5: minor; struct bpf_cgroup_dev_ctx.
Program compile(std::span<const DeviceNumber> allowed) {
    Program program{load_word(BPF_REG_2, 0),
                    load_word(BPF_REG_3, 0),
                    instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff),
                    instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16),
                    load_word(BPF_REG_4, 4),
                    load_word(BPF_REG_5, 8)};
    program.push_back(jump_unless(BPF_REG_3, BPF_DEVCG_ACC_MKNOD, 2));
    answer(program, true);
    for (const DeviceNumber& device : allowed) {
        // Over what is left of this device's test, and its answer.
        const std::int16_t rest = device.minor ? 3 : 2;
        const unsigned kind = device.block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
        program.push_back(jump_unless(BPF_REG_2, kind, static_cast<std::int16_t>(rest + 1)));
        program.push_back(jump_unless(BPF_REG_4, device.major, rest));
        if (device.minor) program.push_back(jump_unless(BPF_REG_5, *device.minor, 2));
        answer(program, true);
    }
    answer(program, false);
    return program;
}

long bpf(int command, bpf_attr& attributes) {
    return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

}  // namespace

Result<> limit_devices(int cgroup_fd, std::span<const DeviceNumber> allowed) {
    const Program program = compile(allowed);
    constexpr char kLicense[] = "GPL";
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = reinterpret_cast<std::uint64_t>(program.data());
    load.insn_cnt = static_cast<std::uint32_t>(program.size());
    load.license = reinterpret_cast<std::uint64_t>(kLicense);
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

}  // namespace lxmgr::sys
