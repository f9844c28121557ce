#include "eval/arm_setting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

std::string FaultOf(const std::string& text) {
  try {
    (void)ParseArm(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no fault";
}

TEST(ArmSetting, ReadsWhatRunTakes) {
  const ArmSetting reset =
      ParseArm("mine=reset,t-low=0.3,t-high=0.9,tau-0=0.55,window=16,token-gate-only,top-p=0.8");
  EXPECT_EQ(reset.name, "mine");
  EXPECT_EQ(reset.sampling.policy, "reset");
  EXPECT_EQ(reset.sampling.t_low, 0.3);
  EXPECT_EQ(reset.sampling.t_high, 0.9);
  EXPECT_EQ(reset.sampling.tau_0, 0.55);
  EXPECT_EQ(reset.sampling.window, 16);
  EXPECT_TRUE(reset.sampling.token_gate_only);
  EXPECT_EQ(reset.sampling.top_p, 0.8);
  const ArmSetting other =
      ParseArm("b=temperature=1,model=/a=b/c,numerics=bf16,kv-cache=fp8,backend=reference,top-k=5");
  EXPECT_EQ(other.sampling.policy, "");
  EXPECT_EQ(other.sampling.temperature, 1);
  EXPECT_EQ(other.model, "/a=b/c");
  EXPECT_EQ(other.numerics, "bf16");
  EXPECT_EQ(other.kv_cache, "fp8");
  EXPECT_EQ(other.backend, "reference");
  EXPECT_EQ(other.sampling.top_k, 5);
}

TEST(ArmSetting, NamesWhatIsWrong) {
  EXPECT_THAT(FaultOf(""), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf("fixed"), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf("=fixed"), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf("a,b=fixed"), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf("a\n=fixed"), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf(std::string(60, 'a') + "=fixed"), HasSubstr("NAME=POLICY"));
  EXPECT_THAT(FaultOf("a="), HasSubstr("--arm a"));
  EXPECT_THAT(FaultOf("a=fixd"), HasSubstr("\"fixd\" is no policy"));
  EXPECT_THAT(FaultOf("a=fixed,heat=1"), HasSubstr("\"heat\""));
  EXPECT_THAT(FaultOf("a=fixed,,"), HasSubstr("\"\""));
  EXPECT_THAT(FaultOf("a=fixed,temperature"), HasSubstr("temperature has no value"));
  EXPECT_THAT(FaultOf("a=fixed,temperature="), HasSubstr("no number"));
  EXPECT_THAT(FaultOf("a=fixed,temperature=0.6x"), HasSubstr("no number"));
  EXPECT_THAT(FaultOf("a=fixed,temperature=nan"), HasSubstr("--arm a"));
  EXPECT_THAT(FaultOf("a=fixed,temperature=1,temperature=2"), HasSubstr("twice"));
  EXPECT_THAT(FaultOf("a=fixed,greedy"), HasSubstr("twice"));
  EXPECT_THAT(FaultOf("a=fixed,t-low=0.1"), HasSubstr("t_low"));
  EXPECT_THAT(FaultOf("a=fixed,model=\xff"), HasSubstr("UTF-8"));
  EXPECT_THAT(FaultOf("a=fixed,model="), HasSubstr("model"));
  EXPECT_THAT(FaultOf("a=fixed,temperature=101"), HasSubstr("temperature"));
}

}  // namespace
}  // namespace fourstep
