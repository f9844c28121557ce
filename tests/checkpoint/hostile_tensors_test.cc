// Tensors that are missing, misshapen, of another type or of values that cannot be.
#include <limits>

#include "hostile_draft.h"

namespace fourstep {
namespace {

TEST(HostileCheckpoint, Tensors) {
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const auto scale2 = [](float value) {
    return [value](Draft& d) { d.up(".weight_scale_2").data = Float32(value); };
  };
  const auto block_scale = [](char byte) {
    return [byte](Draft& d) { d.up(".weight_scale").data[5] = byte; };
  };
  ExpectAll({
      {"missing weight", {"up_proj.weight", "missing"}, [](Draft& d) { d.erase(".weight"); }},
      {"missing block scales",
       {"up_proj.weight_scale", "missing"},
       [](Draft& d) { d.erase(".weight_scale"); }},
      {"missing global scale",
       {"up_proj.weight_scale_2", "missing"},
       [](Draft& d) { d.erase(".weight_scale_2"); }},
      {"missing input scale", {"input scale", "up_proj"}, [](Draft& d) { d.erase(".input_scale"); }},
      {"input scale of weights only",
       {"input scale", "only weights"},
       [](Draft& d) { d.quantization()["quant_algo"] = "W4A16_NVFP4"; }},
      {"missing norm", {kNorm, "missing"}, [](Draft& d) { d.tensors.erase(kNorm); }},
      {"wrong rows",
       {"up_proj.weight", "[2, 32]", "[4, 16]"},
       [](Draft& d) {
         d.up(".weight").shape = {2, 32};
       }},
      {"wrong inputs",
       {"up_proj.weight", "[8, 8]", "[4, 16]"},
       [](Draft& d) {
         d.up(".weight").shape = {8, 8};
       }},
      {"flat weight", {"up_proj.weight", "[64]"}, [](Draft& d) { d.up(".weight").shape = {64}; }},
      {"wrong block scales",
       {"up_proj.weight_scale", "[2, 4]", "[4, 2]"},
       [](Draft& d) {
         d.up(".weight_scale").shape = {2, 4};
       }},
      {"block scales of another type",
       {"up_proj.weight_scale", "F8_E5M2", "F8_E4M3"},
       [](Draft& d) { d.up(".weight_scale").dtype = "F8_E5M2"; }},
      {"MXFP4 scales in ModelOpt",
       {"MXFP4", "up_proj"},
       [](Draft& d) {
         d.up(".weight_scale") = {"U8", {4, 1}, std::string(4, '\x7F')};
       }},
      {"vector of global scales",
       {"weight_scale_2", "one F32 number"},
       [](Draft& d) {
         d.up(".weight_scale_2") = {"F32", {2}, Float32(1) + Float32(1)};
       }},
      {"global scale in BF16",
       {"weight_scale_2", "BF16"},
       [](Draft& d) {
         d.up(".weight_scale_2") = {"BF16", Json::array(), "\x80\x3F"};
       }},
      {"global scale zero", {"weight_scale_2", "is 0", "positive"}, scale2(0)},
      {"global scale negative", {"weight_scale_2", "-1"}, scale2(-1)},
      {"global scale NaN", {"weight_scale_2", "nan"}, scale2(nan)},
      {"global scale infinite", {"weight_scale_2", "inf"}, scale2(infinity)},
      {"input scale zero",
       {"input_scale", "positive"},
       [](Draft& d) { d.up(".input_scale").data = Float32(0); }},
      {"block scale NaN", {"up_proj.weight_scale", "0x7F"}, block_scale('\x7F')},
      {"block scale 0xFF", {"up_proj.weight_scale", "0xFF"}, block_scale('\xFF')},
      {"block scale negative", {"up_proj.weight_scale", "0xB8"}, block_scale('\xB8')},
      {"norm NaN", {kNorm, "nan"}, [nan](Draft& d) { d.tensors[kNorm].data = Float32(1) + Float32(nan); }},
      {"norm of integers", {kNorm, "I32"}, [](Draft& d) { d.tensors[kNorm].dtype = "I32"; }},
      {"norm of another size",
       {kNorm, "[1]", "[2]"},
       [](Draft& d) {
         d.tensors[kNorm] = {"F32", {1}, Float32(1)};
       }},
      {"bias of another size",
       {"up_proj.bias", "[2]", "[4]"},
       [](Draft& d) {
         d.tensors[std::string(kUp) + ".bias"] = {"BF16", {2}, "1234"};
       }},
      {"pre_quant_scale zero",
       {"pre_quant_scale", "positive"},
       [](Draft& d) {
         d.tensors[std::string(kUp) + ".pre_quant_scale"] = {"BF16", {32}, std::string(64, '\0')};
       }},
      {"quantised table",
       {"embed_tokens.weight", "U8"},
       [](Draft& d) {
         d.tensors["model.embed_tokens.weight"] = {"U8", {2, 3}, "123456"};
       }},
      {"unused tensor",
       {"model.extra", "not used"},
       [](Draft& d) {
         d.tensors["model.extra"] = {"U8", {1}, "x"};
       }},
      {"FP8 of another configuration",
       {"FP8", "up_proj"},
       [](Draft& d) {
         d.UseFp8();
         d.quantization()["quant_algo"] = "NVFP4";
       }},
      {"FP8 without a configuration",
       {"up_proj.weight", "no quantisation"},
       [](Draft& d) {
         d.UseFp8();
         d.config.erase("quantization_config");
       }},
      {"excluded FP8",
       {"excludes", "up_proj"},
       [](Draft& d) {
         d.UseFp8();
         d.quantization()["ignore"] = {"model.layers.0*"};
       }},
      {"FP8 table",
       {"embed_tokens.weight", "F8_E4M3"},
       [](Draft& d) {
         d.UseFp8();
         d.tensors["model.embed_tokens.weight"] = {"F8_E4M3", {2, 3}, "123456"};
       }},
      {"8 bits of another kind",
       {"up_proj.weight", "F8_E5M2"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").dtype = "F8_E5M2";
       }},
      {"FP8 of another shape",
       {"up_proj.weight", "[32, 4]", "[4, 32]"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").shape = {32, 4};
       }},
      {"FP8 NaN",
       {"up_proj.weight", "NaN"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").data[127] = '\x7F';
       }},
      {"FP8 negative NaN",
       {"up_proj.weight", "NaN"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").data[0] = '\xFF';
       }},
      {"FP8 without a scale",
       {"up_proj.weight_scale", "missing"},
       [](Draft& d) {
         d.UseFp8();
         d.erase(".weight_scale");
       }},
      {"FP8 with block scales",
       {"up_proj.weight_scale", "[4, 2]"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale") = {"F32", {4, 2}, std::string(32, '\x3F')};
       }},
      {"FP8 with scales of too many outputs",
       {"up_proj.weight_scale", "[5, 1]"},
       [](Draft& d) {
         d.UseFp8OfCompressedTensors();
         d.up(".weight_scale") = {"BF16", {5, 1}, std::string(10, '\x3F')};
       }},
      {"FP8 with scales of another type",
       {"up_proj.weight_scale", "F8_E4M3"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale") = {"F8_E4M3", {4, 1}, "1234"};
       }},
      {"FP8 scale zero",
       {"up_proj.weight_scale", "scale 0", "positive"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale").data = Float32(0);
       }},
      {"FP8 scale infinite",
       {"up_proj.weight_scale", "inf"},
       [infinity](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale").data = Float32(infinity);
       }},
      {"FP8 scale NaN",
       {"up_proj.weight_scale", "nan"},
       [](Draft& d) {
         d.UseFp8OfCompressedTensors();
         d.up(".weight_scale").data[7] = '\x7F';
         d.up(".weight_scale").data[6] = '\xC0';
       }},
      {"FP8 input scale negative",
       {"up_proj.input_scale", "-1"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".input_scale").data = Float32(-1);
       }},
      {"FP8 with a second scale",
       {"weight_scale_2", "not used"},
       [](Draft& d) {
         d.UseFp8();
         d.tensors[std::string(kUp) + ".weight_scale_2"] = {"F32", {1}, Float32(1)};
       }},
      {"dense weight with scales",
       {"up_proj.weight", "BF16", "scales"},
       [](Draft& d) {
         d.up(".weight") = {"BF16", {4, 32}, std::string(256, '\x38')};
       }},
      {"excluded but quantised",
       {"excludes", "up_proj", "model.layers.0*"},
       [](Draft& d) {
         d.quantization()["ignore"] = {"lm_head", "model.layers.0*"};
       }},
      {"no quantisation configured",
       {"up_proj.weight", "no quantisation"},
       [](Draft& d) { d.config.erase("quantization_config"); }},
      {"another dialect",
       {"up_proj.weight_packed", "compressed-tensors", "modelopt"},
       [](Draft& d) {
         const Json modelopt = d.quantization();
         d.UseCompressedTensors();
         d.quantization() = modelopt;
       }},
      {"reciprocal zero",
       {"weight_global_scale", "positive"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.up(".weight_global_scale").data = Float32(0);
       }},
      {"reciprocal of a subnormal",
       {"weight_global_scale", "reciprocal"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.up(".weight_global_scale").data = Float32(1e-44f);
       }},
      {"reciprocal missing",
       {"weight_global_scale", "missing"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.erase(".weight_global_scale");
       }},
      {"packed and plain",
       {"up_proj.weight", "not used"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.tensors[std::string(kUp) + ".weight"] = d.up(".weight_packed");
       }},
      {"excluded by a regular expression",
       {"excludes", "up_proj", "re:"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.quantization()["ignore"] = {"re:.*mlp\\.up"};
       }},
      {"MXFP4 scale NaN",
       {"up_proj.weight_scale", "0xFF"},
       [](Draft& d) {
         d.UseMxFp4();
         d.up(".weight_scale").data[0] = '\xFF';
       }},
      {"MXFP4 with a global scale",
       {"weight_global_scale", "not used"},
       [](Draft& d) {
         d.UseMxFp4();
         d.tensors[std::string(kUp) + ".weight_global_scale"] = {"F32", {1}, Float32(1)};
       }},
  });
}

}  // namespace
}  // namespace fourstep
