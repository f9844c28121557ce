#include "cuda/cublas.h"

#include <dlfcn.h>

#include <string>

#include "base/error.h"

namespace fourstep::cuda {
namespace {

constexpr char kWhere[] = "cuBLAS";

// What cublas_api.h declares, which need not be there; its enumerations are ints. The functions and values
// are documented at https://docs.nvidia.com/cuda/cublas, under the names given here.
constexpr int kStatusSuccess = 0;                             // CUBLAS_STATUS_SUCCESS
constexpr int kNotTransposed = 0, kTransposed = 1;            // CUBLAS_OP_N, CUBLAS_OP_T
constexpr int kCompute32F = 68;                               // CUBLAS_COMPUTE_32F
constexpr int kGemmDefault = -1;                              // CUBLAS_GEMM_DEFAULT
constexpr int kMathDisallowReducedPrecisionReduction = 0x10;  // CUBLAS_MATH_DISALLOW_REDUCED_..._REDUCTION

void* OpenLibrary() {
  std::string reasons;
  for (const char* name : {"libcublas.so.13", "libcublas.so.12"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    const char* reason = dlerror();
    reasons += (reasons.empty() ? "" : "; ") + std::string(reason ? reason : name);
  }
  throw Error(kWhere, reasons);
}

template <class Function>
void Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (!function) throw Errorf(kWhere, "the library has no function {}", name);
}

void Check(int status, const char* function) {
  if (status != kStatusSuccess) throw Errorf(kWhere, "{} gives status {}", function, status);
}

}  // namespace

struct Cublas::Functions {
  int (*create)(Context** handle);
  int (*destroy)(Context* handle);
  int (*set_stream)(Context* handle, cudaStream_t stream);
  int (*set_workspace)(Context* handle, void* workspace, size_t bytes);
  int (*set_math_mode)(Context* handle, int mode);
  // c [m, n] = alpha op(a) [m, k] op(b) [k, n] + beta c, matrices by columns, which are lda, ldb, ldc apart.
  int (*gemm_ex)(Context* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                 cudaDataType_t a_type, int lda, const void* b, cudaDataType_t b_type, int ldb,
                 const void* beta, void* c, cudaDataType_t c_type, int ldc, int compute_type, int algorithm);
};

// Never closed: the library keeps state in the driver for as long as the process lives.
const Cublas::Functions& Cublas::Loaded() {
  static const Functions functions = [] {
    void* library = OpenLibrary();
    Functions f{};
    Find(library, "cublasCreate_v2", f.create);
    Find(library, "cublasDestroy_v2", f.destroy);
    Find(library, "cublasSetStream_v2", f.set_stream);
    Find(library, "cublasSetWorkspace_v2", f.set_workspace);
    Find(library, "cublasSetMathMode", f.set_math_mode);
    Find(library, "cublasGemmEx", f.gemm_ex);
    return f;
  }();
  return functions;
}

Cublas::Cublas(cudaStream_t stream) : functions_(Loaded()) {
  constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA recommends for Hopper
  Check(functions_.create(&handle_), "cublasCreate_v2");
  try {
    workspace_ = {kWorkspaceBytes, kWhere};
    // A stream brings the library's own workspace, so it comes first. Capturing needs one that stays.
    Check(functions_.set_stream(handle_, stream), "cublasSetStream_v2");
    Check(functions_.set_workspace(handle_, workspace_.data(), kWorkspaceBytes), "cublasSetWorkspace_v2");
    Check(functions_.set_math_mode(handle_, kMathDisallowReducedPrecisionReduction), "cublasSetMathMode");
  } catch (...) {
    (void)functions_.destroy(handle_);
    throw;
  }
}

Cublas::~Cublas() {
  (void)functions_.destroy(handle_);
}

// By columns, weight is [inputs, outputs], x [inputs, batch] and y [outputs, batch].
void Cublas::Multiply(BFloat16* y, const BFloat16* x, const BFloat16* weight, int64_t outputs, int64_t inputs,
                      int64_t batch) const {
  const auto m = static_cast<int>(outputs), n = static_cast<int>(batch), k = static_cast<int>(inputs);
  const float one = 1, zero = 0;
  Check(functions_.gemm_ex(handle_, kTransposed, kNotTransposed, m, n, k, &one, weight, CUDA_R_16BF, k, x,
                           CUDA_R_16BF, k, &zero, y, CUDA_R_16BF, m, kCompute32F, kGemmDefault),
        "cublasGemmEx");
}

}  // namespace fourstep::cuda
