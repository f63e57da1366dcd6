# Packs BUILD/gpu_bundle.tar.xz for a machine with a GPU on which nothing can be installed: the
# package, all tests that are labelled gpu, tests/gpu.sh, and the scripts that time PyTorch.  Prints
# its size and refuses more than 60 MiB.  (xz: every program has the kernels, and gzip does not see
# so far back.)
#
#   cmake --build build-cuda --target gpu_bundle
#
#   BUILD   the build folder
#   CUDA    the toolkit and architectures that it is for, in words
#
# The file `build` in it says what it was made of, a word and its value a line; gpu.sh reads it.

set(LIMIT 60)  # MiB
set(bundle ${BUILD}/gpu_bundle)
file(REMOVE_RECURSE ${bundle} ${bundle}.tar.xz)

# The tests first: the package's libraries are then theirs too.
foreach(component "--component;gpu_tests" "")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${bundle} --strip
                          ${component} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endforeach()
file(GLOB scripts tests/peers/*.py)
file(COPY ${scripts} DESTINATION ${bundle}/peers)
file(COPY tests/gpu.sh DESTINATION ${bundle})

# The newest glibc that any file asks for.
file(GLOB_RECURSE programs ${bundle}/bin/* ${bundle}/lib/*.so* ${bundle}/tests/*)
execute_process(COMMAND objdump -p ${programs} OUTPUT_VARIABLE headers ERROR_QUIET)
string(REGEX MATCHALL "GLIBC_[0-9.]+" versions "${headers}")
list(SORT versions COMPARE NATURAL)
list(POP_BACK versions newest)
string(REPLACE "GLIBC_" "" glibc "${newest}")

execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
string(TIMESTAMP date "%Y-%m-%d" UTC)
file(WRITE ${bundle}/build "commit ${commit}\ndate ${date}\nglibc ${glibc}\ncuda ${CUDA}\n")

execute_process(COMMAND ${CMAKE_COMMAND} -E tar cJf ${bundle}.tar.xz gpu_bundle
                WORKING_DIRECTORY ${BUILD} COMMAND_ERROR_IS_FATAL ANY)
file(SIZE ${bundle}.tar.xz bytes)
math(EXPR size "(${bytes} + 1048575) / 1048576")
if(size GREATER LIMIT)
  message(FATAL_ERROR "${bundle}.tar.xz has ${size} MiB, more than ${LIMIT}")
endif()
file(GLOB tests ${bundle}/tests/*)
list(LENGTH tests count)
message(STATUS "${bundle}.tar.xz: ${size} MiB of at most ${LIMIT}, ${count} test programs, commit "
               "${commit}, needs glibc ${glibc} or newer")
