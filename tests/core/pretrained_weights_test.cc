#include "core/checkpoint/pretrained_weights.h"

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/checkpoint/checkpoint.h"
#include "core/model/model_stage.h"
#include "tests/core/foreign_file.h"
#include "tests/core/small_model.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

using Rename = std::function<std::string(std::string)>;

bool StartsWith(const std::string& name, const char* part) { return name.starts_with(part); }

class StartFrom : public testing::Test {
 protected:
  static std::unique_ptr<ModelStage> Model(uint64_t seed, const ModelConfig& config) {
    Context ctx = Context::Cpu();
    auto model = std::make_unique<ModelStage>(ctx, config, BatchShape{1, 2, 1}, DType::kFloat32);
    model->parameters().Initialize(ctx, seed);
    for (const Parameter& p : model->parameters().list()) {  // nothing is 0 or 1 by accident
      float* const values = Parameters::Window(model->parameters().values(), p).as<float>().data();
      for (int64_t i = 0; i < p.shape.count(); ++i) values[i] += 0.25f * static_cast<float>(seed);
    }
    return model;
  }
  static std::unique_ptr<ModelStage> Model(uint64_t seed) {
    return Model(seed, testing_util::SmallConfig({testing_util::FullAttention()}));
  }
  static std::vector<float> Values(const ModelStage& model, const std::string& name) {
    const Parameters& parameters = model.parameters();
    const auto values = Parameters::Window(parameters.values(), *parameters.Find(name)).as<float>();
    return {values.data(), values.data() + values.count()};
  }
  static std::vector<ForeignTensor> TensorsOf(const ModelStage& model, const Rename& rename) {
    std::vector<ForeignTensor> tensors;
    for (const Parameter& p : model.parameters().list()) {
      std::vector<int64_t> shape;
      for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(p.shape[axis]);
      const std::string name = rename(p.name);
      if (!name.empty()) tensors.push_back({name, "F32", shape, BytesOf(Values(model, p.name))});
    }
    return tensors;
  }
  std::string Write(const std::vector<ForeignTensor>& tensors) {
    return folder_.Write("model.safetensors", ForeignFile(tensors));
  }
  std::string Load(const std::string& path, ModelStage& model) {
    PretrainedWeights weights(path);
    weights.Check(model.config(), model.parameters());
    return weights.Load(ctx_, model.parameters());
  }
  // All parameters but those of the head as `from` has them, and these too unless `headless`.
  void ExpectLoaded(const ModelStage& model, const ModelStage& from, bool headless = false) {
    for (const Parameter& p : from.parameters().list()) {
      const bool same = Values(model, p.name) == Values(from, p.name);
      EXPECT_EQ(same, !headless || !StartsWith(p.name, "cls.")) << p.name;
    }
  }

  Context ctx_ = Context::Cpu();
  TemporaryFolder folder_;
  std::unique_ptr<ModelStage> from_ = Model(1), model_ = Model(2);
};

std::string Same(std::string name) { return name; }

std::string DecoderBias(std::string name) {
  return name == "cls.predictions.bias" ? "cls.predictions.decoder.bias" : name;
}

std::string GammaBeta(std::string name) {
  for (const auto& [now, old] : {std::pair{"LayerNorm.weight", "LayerNorm.gamma"},
                                 std::pair{"LayerNorm.bias", "LayerNorm.beta"}}) {
    if (name.ends_with(now)) name.replace(name.size() - strlen(now), strlen(now), old);
  }
  return name;
}

TEST_F(StartFrom, TheNamesOfTodayAndOfOldAndOfWrappersAreTheSameParameters) {
  for (const Rename& rename : std::vector<Rename>{
           Same, GammaBeta, DecoderBias, [](std::string name) { return "module." + name; },
           [](std::string name) { return "_orig_mod.module." + GammaBeta(name); }}) {
    model_ = Model(2);
    const std::string said = Load(Write(TensorsOf(*from_, rename)), *model_);
    ExpectLoaded(*model_, *from_);
    EXPECT_NE(said.find("random at first: nothing; left out of the file: nothing"), said.npos);
  }
}

TEST_F(StartFrom, ABareEncoderLeavesTheHeadRandomAndSaysSo) {
  const Rename bare = [](std::string name) {
    return StartsWith(name, "bert.") ? GammaBeta(name.substr(5)) : "";
  };
  const std::string said = Load(Write(TensorsOf(*from_, bare)), *model_);
  ExpectLoaded(*model_, *from_, /*headless=*/true);
  EXPECT_NE(said.find("random at first: the head (cls.predictions.*);"), said.npos) << said;
}

TEST_F(StartFrom, HalfAHeadIsRefused) {
  const Rename half = [](std::string name) { return name == "cls.predictions.bias" ? "" : name; };
  EXPECT_REFUSED(Load(Write(TensorsOf(*from_, half)), *model_),
                 "has no tensor cls.predictions.bias, which the model needs");
}

TEST_F(StartFrom, TheBiasOfTheDecoderIsThatOfTheHead) {
  const Rename twin = [](std::string name) {
    return name == "cls.predictions.bias" ? "cls.predictions.decoder.bias" : name;
  };
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, twin);
  Load(Write(tensors), *model_);
  ExpectLoaded(*model_, *from_);
  // Where there are both, the head's own is taken.
  const auto decoder = std::find_if(
      tensors.begin(), tensors.end(),
      [](const ForeignTensor& tensor) { return tensor.name == "cls.predictions.decoder.bias"; });
  ASSERT_NE(decoder, tensors.end());
  tensors.push_back(*decoder);
  tensors.back().name = "cls.predictions.bias";
  decoder->bytes.assign(decoder->bytes.size(), '\0');
  model_ = Model(2);
  const std::string said = Load(Write(tensors), *model_);
  ExpectLoaded(*model_, *from_);
  EXPECT_NE(said.find("left out of the file: cls.predictions.decoder.bias"), said.npos) << said;
}

TEST_F(StartFrom, AConfigurationBesideTheWeightsThatContradictsTheModelIsRefused) {
  const std::string path = Write(TensorsOf(*from_, Same));
  const auto load = [&](const std::string& fields) {
    folder_.Write("config.json", fields);
    Load(path, *model_);
    Load(folder_.path(), *model_);
  };
  load(R"({"model_type":"bert","num_attention_heads":2,"hidden_act":"gelu",)"
       R"("layer_norm_eps":1e-06,"position_embedding_type":"absolute",)"
       R"("tie_word_embeddings":false})");
  load(R"({"classifier_dropout":null,"position_embedding_type":null})");
  for (const auto& [fields, words] : {
           std::pair{R"({"num_attention_heads":4})",
                     "config.json: num_attention_heads is 4, expected 2, which is model.heads"},
           {R"({"num_attention_heads":"2"})", "num_attention_heads is \"2\", expected 2"},
           {R"({"hidden_act":"gelu_new"})", "hidden_act is \"gelu_new\", expected gelu"},
           {R"({"layer_norm_eps":1e-12})",
            "layer_norm_eps is 1e-12, expected 1e-06, which is model.layer_norm_epsilon"},
           {R"({"layer_norm_eps":1e300})", "layer_norm_eps is 1e+300"},
           {R"({"layer_norm_eps":"1e-06"})", "layer_norm_eps is \"1e-06\""},
           {R"({"model_type":"roberta"})", "model_type is \"roberta\", expected bert"},
           {R"({"position_embedding_type":"relative_key"})", "is \"relative_key\""},
           {R"([1])", "is no JSON object"},
           {"{", "config.json cannot be used: it is not JSON"},
       }) {
    EXPECT_REFUSED(load(fields), words);
  }
  ModelConfig config = from_->config();
  config.pre_norm = true;
  folder_.Write("config.json", R"({"model_type":"bert"})");
  const auto before = Model(3, config);
  Write(TensorsOf(*before, Same));
  EXPECT_REFUSED(Load(path, *before), "model.pre_norm is true");
}

TEST_F(StartFrom, AnOutputMatrixOfItsOwnIsRefused) {
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, Same);
  tensors.push_back({"cls.predictions.decoder.weight", "F32", {1}, "abcd"});
  folder_.Write("config.json", R"({"tie_word_embeddings":false})");
  EXPECT_REFUSED(Load(Write(tensors), *model_), "tie_word_embeddings is false, expected true");
}

TEST_F(StartFrom, WhatTheModelLacksIsLeftOutWhateverItsTypeAndRank) {
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, GammaBeta);
  tensors.push_back({"bert.embeddings.position_ids", "I64", {1, 2}, std::string(16, '\0')});
  tensors.push_back({"bert.pooler.dense.bias", "BOOL", {1, 1, 1, 1, 1, 2}, "ab"});
  tensors.push_back({"bert.pooler.dense.weight", "F2_E1", {3, 3}, "abc"});
  const std::string said = Load(Write(tensors), *model_);
  ExpectLoaded(*model_, *from_);
  EXPECT_NE(said.find("left out of the file: bert.embeddings.position_ids, bert.pooler.dense.bias, "
                      "bert.pooler.dense.weight"),
            said.npos)
      << said;
}

TEST_F(StartFrom, OneParameterTwiceIsRefused) {
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, Same);
  tensors.push_back({"bert.embeddings.LayerNorm.gamma", "F32", {1}, "abcd"});
  EXPECT_REFUSED(Load(Write(tensors), *model_), "which mean the same parameter");
}

TEST_F(StartFrom, NumbersAreConverted) {
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, Same);
  for (ForeignTensor& tensor : tensors) {
    std::vector<float> values(tensor.bytes.size() / sizeof(float));
    memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    tensor.dtype = "F64";
    tensor.bytes = BytesOf(std::vector<double>(values.begin(), values.end()));
  }
  EXPECT_NE(Load(Write(tensors), *model_).find("(F64)"), std::string::npos);
  ExpectLoaded(*model_, *from_);
  tensors.front().dtype = "I64";
  EXPECT_REFUSED(Load(Write(tensors), *model_), "word_embeddings.weight: it is I64; expected F32");
  tensors.front().dtype = "F2_E1";
  EXPECT_REFUSED(Load(Write(tensors), *model_),
                 "word_embeddings.weight: it is \"F2_E1\"; expected");
}

TEST_F(StartFrom, ValuesThatAreNotFiniteAreRefusedByTheTensorsName) {
  std::vector<ForeignTensor> tensors = TensorsOf(*from_, Same);
  memset(tensors.back().bytes.data(), 0xff, 4);
  EXPECT_REFUSED(Load(Write(tensors), *model_),
                 tensors.back().name + ": element 0 is not a finite");
}

TEST_F(StartFrom, OfMorePositionsTheFirstAreTakenAndOfFewerTheFieldIsNamed) {
  ModelConfig config = from_->config();
  config.max_positions = 5;
  const auto shorter = Model(3, config);
  const std::string said = Load(Write(TensorsOf(*from_, Same)), *shorter);
  EXPECT_NE(said.find("the first 5 of 12 positions"), said.npos) << said;
  const char* const name = "bert.embeddings.position_embeddings.weight";
  const std::vector<float> all = Values(*from_, name);
  EXPECT_EQ(Values(*shorter, name), std::vector<float>(all.begin(), all.begin() + 5 * 16));

  config.max_positions = 13;
  EXPECT_REFUSED(Load(folder_.File("model.safetensors"), *Model(3, config)),
                 "model.max_positions (if not given, data.sequence_length) may be at most 12");
}

TEST_F(StartFrom, AnotherVocabularyOrWidthIsRefusedByItsField) {
  const std::string path = Write(TensorsOf(*from_, Same));
  EXPECT_EQ(PretrainedWeights(path).vocabulary_size(), 29);
  ModelConfig config = from_->config();
  config.vocabulary = 30;
  EXPECT_REFUSED(Load(path, *Model(3, config)),
                 "word_embeddings.weight is F32 [29,16], the model's is [30, 16]; data.vocabulary");
  config = from_->config();
  config.width = 18;
  EXPECT_REFUSED(Load(path, *Model(3, config)), "model.width");
}

TEST_F(StartFrom, TreesStayRandom) {
  const auto trees = Model(3, testing_util::SmallConfig({testing_util::TreeAttention(
                                  &kTfAttention, TreeShape::Binary(2), TreeGradient::kFlip)}));
  const std::string name = "bert.encoder.layer.0.attention.self.tree.weight";
  const std::vector<float> before = Values(*trees, name);
  const std::string said = Load(Write(TensorsOf(*from_, Same)), *trees);
  EXPECT_EQ(Values(*trees, name), before);
  EXPECT_NE(said.find("random at first: 2 parameters of trees"), said.npos) << said;
}

TEST_F(StartFrom, AFolderAndShardsAndTheirIndexAreRead) {
  const std::vector<ForeignTensor> tensors = TensorsOf(*from_, Same);
  Write(tensors);
  Load(folder_.path(), *model_);
  ExpectLoaded(*model_, *from_);

  const TemporaryFolder shards;
  const auto half = tensors.begin() + tensors.size() / 2;
  shards.Write("one.safetensors", ForeignFile({tensors.begin(), half}));
  shards.Write("two.safetensors", ForeignFile({half, tensors.end()}));
  nlohmann::json map;
  for (auto tensor = tensors.begin(); tensor != tensors.end(); ++tensor) {
    map[tensor->name] = tensor < half ? "one.safetensors" : "two.safetensors";
  }
  const auto write_index = [&] {
    const std::string text = nlohmann::json{{"metadata", {}}, {"weight_map", map}}.dump();
    return shards.Write("model.safetensors.index.json", text);
  };
  const std::string index = write_index();
  for (const std::string& path : {shards.path(), index}) {
    model_ = Model(2);
    Load(path, *model_);
    ExpectLoaded(*model_, *from_);
  }
  for (const auto& [file, words] :
       {std::pair{"../one.safetensors", "expected the name of a file beside the index"},
        std::pair{"..", "expected the name of a file beside the index"},
        std::pair{"three.safetensors", "three.safetensors cannot be read: No such file"},
        std::pair{"two.safetensors", "has no tensor"}}) {
    map[tensors.front().name] = file;
    write_index();
    EXPECT_REFUSED(Load(shards.path(), *model_), words);
  }
  shards.Write("model.safetensors.index.json", "{}");
  EXPECT_REFUSED(Load(shards.path(), *model_), "has no weight_map");
}

TEST_F(StartFrom, ACheckpointIsVerifiedAndAFolderOfNothingRefused) {
  SaveCheckpoint(ctx_, folder_.File("checkpoints"), 4, {{"model", from_->parameters().Tensors()}},
                 nlohmann::json::object());
  Load(folder_.File("checkpoints/step_4"), *model_);
  ExpectLoaded(*model_, *from_);
  std::string bytes = folder_.Read("checkpoints/step_4/model.safetensors");
  bytes.back() ^= 1;
  folder_.Write("checkpoints/step_4/model.safetensors", bytes);
  EXPECT_REFUSED(Load(folder_.File("checkpoints/step_4"), *model_), "hash");
  EXPECT_REFUSED(Load(folder_.path(), *model_), "has neither model.safetensors nor");
  EXPECT_REFUSED(Load(folder_.File("nowhere"), *model_), "nowhere cannot be read: No such file");
}

// What transformers wrote: the same model under the names and types of its history.
class ReferenceWeights : public StartFrom {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << kFolder << " is not there";
    Load(kFolder + "tiny_mlm", *from_);
  }
  static std::unique_ptr<ModelStage> TinyMlm(uint64_t seed) {
    ModelConfig config = testing_util::SmallConfig({{}, {}, {}});
    config.width = 32;
    config.heads = 4;
    config.feed_forward = 64;
    config.vocabulary = 99;
    config.max_positions = 64;
    config.layer_norm_epsilon = 1e-12f;
    return Model(seed, config);
  }
  ReferenceWeights() {
    from_ = TinyMlm(1);
    model_ = TinyMlm(2);
  }

  inline static const std::string kFolder = "../shared/reference/hf/";
};

TEST_F(ReferenceWeights, OfAllNamesAreTheSame) {
  for (const char* name :
       {"sharded", "sharded/model.safetensors.index.json",
        "legacy/bert_base_uncased_style.safetensors", "legacy/module_prefix.safetensors"}) {
    model_ = TinyMlm(2);
    Load(kFolder + name, *model_);
    ExpectLoaded(*model_, *from_);
  }
}

TEST_F(ReferenceWeights, OfTheEncoderAloneAreReadAlike) {
  const auto other = TinyMlm(3);
  Load(kFolder + "legacy/no_prefix_gamma_beta.safetensors", *other);
  Load(kFolder + "legacy/no_prefix_weight_bias.safetensors", *model_);
  ExpectLoaded(*model_, *other, /*headless=*/true);
}

TEST_F(ReferenceWeights, Of16BitsAreTheRoundedOnes) {
  for (const auto& [name, bits] : {std::pair{"f16", 11}, std::pair{"bf16", 8}}) {
    model_ = TinyMlm(2);
    Load(Sentence(kFolder, "legacy/tiny_mlm_", name, ".safetensors"), *model_);
    for (const Parameter& p : from_->parameters().list()) {
      const std::vector<float> exact = Values(*from_, p.name), rounded = Values(*model_, p.name);
      for (size_t i = 0; i < exact.size(); ++i) {
        ASSERT_NEAR(rounded[i], exact[i], std::ldexp(std::abs(exact[i]), -bits) + 0x1p-24f);
      }
    }
  }
}

TEST_F(ReferenceWeights, OfAnotherNumberOfHeadsAreRefused) {
  ModelConfig config = from_->config();
  config.heads = 8;
  for (const char* name : {"tiny_mlm", "sharded"}) {
    EXPECT_REFUSED(Load(kFolder + name, *Model(3, config)),
                   "config.json: num_attention_heads is 4, expected 8");
  }
}

TEST_F(ReferenceWeights, ThatCannotBeUsedAreRefused) {
  EXPECT_REFUSED(Load(kFolder + "legacy/embeddings_f64.safetensors", *model_),
                 "has no tensor bert");
  EXPECT_REFUSED(Load(kFolder + "legacy/google_tensorflow_names.safetensors", *model_),
                 "has no tensor bert.embeddings");
  EXPECT_REFUSED(Load(kFolder + "tiny_bart", *model_), "model_type is \"bart\", expected bert");
  const TemporaryFolder shards;
  std::filesystem::copy(kFolder + "sharded", shards.path());
  for (const char* name : {"missing_shard", "path_outside", "wrong_shard"}) {
    std::filesystem::copy_file(Sentence(kFolder, "headers/bad_index_", name, ".json"),
                               shards.File("model.safetensors.index.json"),
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_THROW(Load(shards.path(), *model_), UserError) << name;
  }
}

}  // namespace

}  // namespace treeformer
