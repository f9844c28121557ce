// Configurations of quantisations that are broken, or that are not supported.
#include <utility>

#include "hostile_draft.h"

namespace fourstep {
namespace {

// A case that changes the quantization_config of ModelOpt.
Case ModelOpt(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) { change(d.quantization()); }};
}

// A case that changes the quantization_config of compressed-tensors.
Case Compressed(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) {
            d.UseCompressedTensors();
            change(d.quantization());
          }};
}

// A case that changes that of FP8.
Case EightBit(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) {
            d.UseFp8OfCompressedTensors();
            change(d.quantization());
          }};
}

TEST(HostileCheckpoint, Quantization) {
  const auto weights = [](Json& q) -> Json& { return q["config_groups"]["group_0"]["weights"]; };
  const auto inputs = [](Json& q) -> Json& { return q["config_groups"]["group_0"]["input_activations"]; };
  ExpectAll({
      ModelOpt("not an object", {"quantization_config", "object"}, [](Json& q) { q = "NVFP4"; }),
      ModelOpt("no method", {"quant_method", "missing"}, [](Json& q) { q.erase("quant_method"); }),
      ModelOpt("GPTQ", {"gptq", "not supported"}, [](Json& q) { q["quant_method"] = "gptq"; }),
      ModelOpt("AWQ", {"awq", "not supported"}, [](Json& q) { q["quant_method"] = "awq"; }),
      ModelOpt("fp_quant", {"fp_quant"}, [](Json& q) { q["quant_method"] = "fp_quant"; }),
      ModelOpt("FP8", {"NVFP4", "up_proj"}, [](Json& q) { q["quant_algo"] = "FP8"; }),
      ModelOpt("FP8_PB_WO", {"FP8_PB_WO", "not supported"}, [](Json& q) { q["quant_algo"] = "FP8_PB_WO"; }),
      ModelOpt("W4A8", {"W4A8_NVFP4_FP8"}, [](Json& q) { q["quant_algo"] = "W4A8_NVFP4_FP8"; }),
      ModelOpt("SVD", {"NVFP4_SVD"}, [](Json& q) { q["quant_algo"] = "NVFP4_SVD"; }),
      ModelOpt("no algorithm", {"quant_algo"}, [](Json& q) { q.erase("quant_algo"); }),
      ModelOpt("algorithm null", {"quant_algo", "string"}, [](Json& q) { q["quant_algo"] = nullptr; }),
      ModelOpt("group of 32", {"group_size", "32"}, [](Json& q) { q["group_size"] = 32; }),
      ModelOpt("zero points", {"has_zero_point"}, [](Json& q) { q["has_zero_point"] = true; }),
      ModelOpt("unknown key", {"unknown key", "rotation"}, [](Json& q) { q["rotation"] = true; }),
      ModelOpt("exclude list of numbers", {"ignore", "strings"}, [](Json& q) { q["ignore"] = {1}; }),
      ModelOpt("exclude list a string", {"ignore", "array"}, [](Json& q) { q["ignore"] = "lm_head"; }),
      ModelOpt("mixed without layers", {"quantized_layers"},
               [](Json& q) { q["quant_algo"] = "MIXED_PRECISION"; }),
      ModelOpt("mixed with INT4", {"a.b", "INT4_AWQ"},
               [](Json& q) {
                 q["quant_algo"] = "MIXED_PRECISION";
                 q["quantized_layers"] = {{"a.b", {{"quant_algo", "INT4_AWQ"}}}};
               }),
      Compressed("no groups", {"config_groups"}, [](Json& q) { q.erase("config_groups"); }),
      Compressed("empty groups", {"config_groups"}, [](Json& q) { q["config_groups"] = Json::object(); }),
      Compressed("group a name", {"group_0", "object"},
                 [](Json& q) { q["config_groups"]["group_0"] = "NVFP4"; }),
      Compressed("integers", {"int", "4 bits"}, [&](Json& q) { weights(q)["type"] = "int"; }),
      Compressed("eight bits", {"8 bits"}, [&](Json& q) { weights(q)["num_bits"] = 8; }),
      Compressed("W4A8 group", {"input_activations", "8 bits"}, [&](Json& q) { inputs(q)["num_bits"] = 8; }),
      Compressed("groups of 128", {"groups of 128"}, [&](Json& q) { weights(q)["group_size"] = 128; }),
      Compressed("per channel", {"strategy", "channel"},
                 [&](Json& q) { weights(q)["strategy"] = "channel"; }),
      Compressed("asymmetric", {"symmetric"}, [&](Json& q) { weights(q)["symmetric"] = false; }),
      Compressed("fully dynamic", {"dynamic", "true"}, [&](Json& q) { inputs(q)["dynamic"] = true; }),
      Compressed("quantised outputs", {"output_activations"},
                 [&](Json& q) { q["config_groups"]["group_0"]["output_activations"] = inputs(q); }),
      Compressed("pack-quantized", {"pack-quantized", "not supported"},
                 [](Json& q) { q["format"] = "pack-quantized"; }),
      EightBit("INT8", {"8 bits", "int"}, [&](Json& q) { weights(q)["type"] = "int"; }),
      EightBit("FP8 of 4 bits", {"4 bits", "FP8"}, [&](Json& q) { weights(q)["num_bits"] = 4; }),
      EightBit("FP8 in blocks", {"strategy", "block"}, [&](Json& q) { weights(q)["strategy"] = "block"; }),
      EightBit("FP8 asymmetric", {"symmetric"}, [&](Json& q) { weights(q)["symmetric"] = false; }),
      EightBit("FP8 with INT8 inputs", {"input_activations", "int"},
               [&](Json& q) { inputs(q)["type"] = "int"; }),
      EightBit("FP8 under NVFP4's name", {"weights", "8 bits"},
               [](Json& q) { q["format"] = "nvfp4-pack-quantized"; }),
      Compressed("float-quantized group", {"4 bits", "FP8"},
                 [](Json& q) { q["config_groups"]["group_0"]["format"] = "float-quantized"; }),
      Compressed("mixed without group format", {"mixed-precision"},
                 [](Json& q) { q["format"] = "mixed-precision"; }),
      Compressed("frozen", {"quantization_status", "frozen"},
                 [](Json& q) { q["quantization_status"] = "frozen"; }),
      Compressed("transforms", {"transform_config"},
                 [](Json& q) {
                   q["transform_config"] = {{"config_groups", {{"u", {{"type", "hadamard"}}}}}};
                 }),
      Compressed("sparse", {"sparse"},
                 [](Json& q) {
                   q["sparsity_config"] = {{"format", "sparse-24-bitmask"}};
                 }),
      Compressed("unknown key of the dialect", {"unknown key", "extra"}, [](Json& q) { q["extra"] = 1; }),
      Compressed("unknown key of a group", {"unknown key", "more"},
                 [](Json& q) { q["config_groups"]["group_0"]["more"] = 1; }),
      Compressed("a broken regular expression", {"re:(", "regular expression"},
                 [](Json& q) { q["ignore"] = {"re:("}; }),
      Compressed("a regular expression without end", {"cannot be matched"},
                 [](Json& q) { q["ignore"] = {"re:(([a-z._]|[a-z0-9._])*)*[XY]"}; }),
      Compressed("a huge pattern", {"pattern of"},
                 [](Json& q) { q["ignore"] = {std::string(100'000, '*')}; }),
      {"old file not JSON",
       {"hf_quant_config.json", "not valid JSON"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = "NVFP4";
       }},
      {"old file with FP8",
       {"hf_quant_config.json", "NVFP4", "up_proj"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = R"({"quantization": {"quant_algo": "FP8"}})";
       }},
      {"old file with an unknown key",
       {"hf_quant_config.json", "rotation"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = R"({"quantization": {"quant_algo": "NVFP4", "rotation": 1}})";
       }},
  });
}

}  // namespace
}  // namespace fourstep
