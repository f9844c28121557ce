#include "eval/complex.h"

#include <algorithm>

#include "base/check.h"

namespace fourstep {
namespace {

constexpr mpfr_prec_t kBits = 2048;
constexpr mpfr_exp_t kMaxExponent = 830;
constexpr mpfr_exp_t kMinExponent = -2500;  // room for what roundings leave of a zero
constexpr mpfr_exp_t kSameRelative = -1000, kSameAbsolute = -1000;
constexpr long kMaxIntegerExponent = 10'000;

// The exponent of the larger part; the smallest for zero.
mpfr_exp_t ExponentOf(const mpc_t value) {
  const auto part = [](const mpfr_t x) { return mpfr_zero_p(x) ? mpfr_get_emin() : mpfr_get_exp(x); };
  return std::max(part(mpc_realref(value)), part(mpc_imagref(value)));
}

struct Named {
  const char* name;
  int (*apply)(mpc_ptr, mpc_srcptr, mpc_rnd_t);
};
constexpr Named kFunctions[] = {
    {"sqrt", mpc_sqrt},   {"exp", mpc_exp},   {"ln", mpc_log},      {"sin", mpc_sin},
    {"cos", mpc_cos},     {"tan", mpc_tan},   {"arcsin", mpc_asin}, {"arccos", mpc_acos},
    {"arctan", mpc_atan}, {"sinh", mpc_sinh}, {"cosh", mpc_cosh},   {"tanh", mpc_tanh},
};

}  // namespace

Complex::Complex(long value) {
  mpc_init2(value_, kBits);
  mpc_set_si(value_, value, MPC_RNDNN);
}

Complex::Complex(const Complex& other) {
  mpc_init2(value_, kBits);
  mpc_set(value_, other.value_, MPC_RNDNN);
}

Complex& Complex::operator=(const Complex& other) {
  mpc_set(value_, other.value_, MPC_RNDNN);
  return *this;
}

Complex::~Complex() {
  mpc_clear(value_);
}

Complex Complex::FromDecimal(const std::string& text) {
  Complex result;
  mpfr_set_str(mpc_realref(result.value_), text.c_str(), 10, MPFR_RNDN);
  return result.Checked();
}

Complex Complex::Pi() {
  Complex result;
  mpfr_const_pi(mpc_realref(result.value_), MPFR_RNDN);
  return result;
}

Complex Complex::ImaginaryUnit() {
  Complex result;
  mpc_set_si_si(result.value_, 0, 1, MPC_RNDNN);
  return result;
}

Complex Complex::NoValue() {
  Complex result;
  mpc_set_nan(result.value_);
  return result;
}

bool Complex::has_value() const {
  return mpfr_number_p(mpc_realref(value_)) && mpfr_number_p(mpc_imagref(value_));
}

Complex Complex::Checked() const {
  if (!has_value()) return NoValue();
  for (const auto* part : {mpc_realref(value_), mpc_imagref(value_)}) {
    if (mpfr_zero_p(part)) continue;
    if (mpfr_get_exp(part) > kMaxExponent || mpfr_get_exp(part) < kMinExponent) return NoValue();
  }
  return *this;
}

std::optional<long> Complex::AsInteger(long max_magnitude) const {
  if (!has_value() || !mpfr_zero_p(mpc_imagref(value_)) || !mpfr_integer_p(mpc_realref(value_))) return {};
  if (mpfr_cmp_si(mpc_realref(value_), max_magnitude) > 0) return {};
  if (mpfr_cmp_si(mpc_realref(value_), -max_magnitude) < 0) return {};
  return mpfr_get_si(mpc_realref(value_), MPFR_RNDN);
}

bool Complex::is_negative_real() const {
  return has_value() && mpfr_zero_p(mpc_imagref(value_)) && mpfr_sgn(mpc_realref(value_)) < 0;
}

Complex operator+(const Complex& a, const Complex& b) {
  Complex result;
  mpc_add(result.value_, a.value_, b.value_, MPC_RNDNN);
  return result.Checked();
}

Complex operator-(const Complex& a, const Complex& b) {
  Complex result;
  mpc_sub(result.value_, a.value_, b.value_, MPC_RNDNN);
  return result.Checked();
}

Complex operator*(const Complex& a, const Complex& b) {
  Complex result;
  mpc_mul(result.value_, a.value_, b.value_, MPC_RNDNN);
  return result.Checked();
}

Complex operator/(const Complex& a, const Complex& b) {
  Complex result;
  mpc_div(result.value_, a.value_, b.value_, MPC_RNDNN);
  return result.Checked();
}

Complex Complex::Apply(const std::string& name, const Complex& x) {
  Complex result;
  if (!x.has_value()) return x;
  if (name == "abs") {
    mpc_abs(mpc_realref(result.value_), x.value_, MPFR_RNDN);
    return result.Checked();
  }
  if (name == "floor" || name == "ceil") {
    if (!mpfr_zero_p(mpc_imagref(x.value_))) return NoValue();
    (name == "floor" ? mpfr_floor : mpfr_ceil)(mpc_realref(result.value_), mpc_realref(x.value_));
    return result.Checked();
  }
  const auto* function = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                      [&](const Named& named) { return name == named.name; });
  FOURSTEP_CHECK(function != std::end(kFunctions), "{}", name);
  function->apply(result.value_, x.value_, MPC_RNDNN);
  return result.Checked();
}

Complex Complex::Power(const Complex& base, const Complex& exponent) {
  if (!base.has_value() || !exponent.has_value()) return NoValue();
  Complex result;
  if (const auto integer = exponent.AsInteger(kMaxIntegerExponent)) {
    mpc_pow_si(result.value_, base.value_, *integer, MPC_RNDNN);
    return result.Checked();
  }
  return Apply("exp", exponent * Apply("ln", base));
}

bool Complex::Same(const Complex& a, const Complex& b) {
  const Complex difference = a - b;
  if (!difference.has_value()) return false;
  const mpfr_exp_t exponent = ExponentOf(difference.value_);
  const mpfr_exp_t larger = std::max(ExponentOf(a.value_), ExponentOf(b.value_));
  return exponent <= std::max(kSameAbsolute, larger + kSameRelative);
}

}  // namespace fourstep
