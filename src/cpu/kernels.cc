#include "cpu/kernels.h"

#include <string_view>

#if defined(FOURSTEP_X86)
#include <cpuid.h>
#endif

#include "formats/nvfp4.h"

namespace fourstep::cpu {
namespace {

#if defined(FOURSTEP_X86)
// Clang 14 does not know __builtin_cpu_supports("f16c").
bool MachineHasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool MachineHasAvx2() {
#if defined(FOURSTEP_X86)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && MachineHasF16c();
#else
  return false;
#endif
}

bool MachineHasAvx512() {
#if defined(FOURSTEP_X86)
  return MachineHasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

}  // namespace

const Kernels* FindKernels(const char* name) {
  const std::string_view wanted = name;
#if defined(FOURSTEP_X86)
  if ((wanted.empty() || wanted == kAvx512Kernels.name) && MachineHasAvx512()) return &kAvx512Kernels;
  if ((wanted.empty() || wanted == kAvx2Kernels.name) && MachineHasAvx2()) return &kAvx2Kernels;
#endif
  return wanted.empty() || wanted == kPortableKernels.name ? &kPortableKernels : nullptr;
}

float EncodeBlockScale(float amax, float inverse_scale, uint8_t& code, float& decoded) {
  code = E4M3::Encode(amax / E2M1::kMax * inverse_scale);
  decoded = E4M3::Decode(code);
  return code == 0 ? 0.0f : inverse_scale / decoded;
}

}  // namespace fourstep::cpu
