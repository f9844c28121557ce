#include "eval/code_grader.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "eval/answer.h"
#include "eval/sandbox.h"

namespace fourstep {
namespace {

constexpr const char* kPython = "/usr/bin/python3";
constexpr const char* kProgram = "/program.py";
constexpr const char* kDriver = "/driver.py";

// What livecodebench puts before every program.
constexpr std::string_view kPrelude = R"(from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
import string
import re
import datetime
import collections
import heapq
import bisect
import copy
import math
import random
import statistics
import itertools
import functools
import operator
import io
import sys
import json
sys.setrecursionlimit(50000)
)";

// Calls the function with the arguments that stand on the lines of standard input, and writes what it
// returns. What the program itself prints goes nowhere.
constexpr std::string_view kDriverText = R"(import json, os, sys
arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
result_file = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
names = {"__name__": "program"}
exec(compile(open("/program.py").read(), "/program.py", "exec"), names)
owner = names["Solution"]() if "Solution" in names else None
function = getattr(owner, sys.argv[1]) if owner is not None else names[sys.argv[1]]
result = function(*arguments)
json.dump(result, result_file)
result_file.close()
)";

bool SameJson(std::string_view wanted, std::string_view given) {
  try {
    return ParseJson(wanted, "output") == ParseJson(given, "output");
  } catch (const Error&) {
    return false;
  }
}

bool Passes(const std::string& program, const CodeTests& tests, const CodeTest& test) {
  const bool calls = !tests.function.empty();
  SandboxJob job{
      .command = {kPython, kProgram}, .input = test.input, .files = {{kProgram, program}}, .limits = {}};
  if (calls) {
    job.command = {kPython, kDriver, tests.function};
    job.files.emplace_back(kDriver, kDriverText);
  }
  const SandboxResult result = RunSandboxed(job);
  if (result.end != SandboxResult::End::kExited || result.exit_status != 0) return false;
  return calls ? SameJson(test.output, result.output) : SameOutput(test.output, result.output);
}

}  // namespace

bool PassesTests(std::string_view program, const CodeTests& tests) {
  const std::string whole = std::string(kPrelude) + std::string(program);
  return std::all_of(tests.tests.begin(), tests.tests.end(),
                     [&](const CodeTest& test) { return Passes(whole, tests, test); });
}

void CheckCodeGrader() {
  if (!std::filesystem::exists(kPython)) {
    throw Errorf("livecodebench", "its programs are run by {}, which is missing", kPython);
  }
  if (const auto& fault = SandboxFault()) {
    throw Errorf("livecodebench", "its programs are run in a sandbox only, and {}", *fault);
  }
}

}  // namespace fourstep
