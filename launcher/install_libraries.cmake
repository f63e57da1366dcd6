# Copies into the package what `treeformer` needs on a machine that has none of it: its shared
# libraries and, where it was built with Open MPI, mpirun with its plug-ins.  Runs at install time.
#
#   PROGRAM         the installed program
#   PREFIX          the root of the package; tests that are installed in PREFIX/tests count too
#   ORTERUN, ORTED  Open MPI's programs, or empty
#   PLUGINS         the folder of Open MPI's plug-ins; PLUGINS_BELOW_PREFIX the same in the package
#   MPI_TEXTS       Open MPI's messages
#
# Libraries find each other by $ORIGIN as RUNPATH, which LD_LIBRARY_PATH goes before: an Open MPI 4
# that a cluster loads as a module takes the place of this one.

find_program(PATCHELF patchelf)
if(NOT PATCHELF)
  message(FATAL_ERROR "patchelf is not found; it makes the package's libraries find each other")
endif()

file(GLOB tests ${PREFIX}/tests/*_test)
set(programs ${PROGRAM} ${tests})
if(ORTERUN)
  file(INSTALL ${ORTERUN} ${ORTED} DESTINATION ${PREFIX}/bin USE_SOURCE_PERMISSIONS
       FOLLOW_SYMLINK_CHAIN)
  file(INSTALL ${MPI_TEXTS} DESTINATION ${PREFIX}/share)
  file(GLOB plugins ${PLUGINS}/*.so)
  file(INSTALL ${plugins} DESTINATION ${PREFIX}/${PLUGINS_BELOW_PREFIX})
  list(APPEND programs ${ORTERUN} ${ORTED})
  # Open MPI looks for its files where OPAL_PREFIX says.
  file(WRITE ${PREFIX}/bin/mpirun [=[
#!/bin/sh
OPAL_PREFIX=$(cd "$(dirname "$0")/.." && pwd)
PMIX_MCA_pcompress_base_silence_warning=1
export OPAL_PREFIX PMIX_MCA_pcompress_base_silence_warning
# Without ssh it starts ranks on this machine, or where Slurm does.
command -v ssh >/dev/null || export OMPI_MCA_plm=^rsh
exec "$OPAL_PREFIX/bin/orterun" "$@"
]=])
  file(CHMOD ${PREFIX}/bin/mpirun PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
       GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endif()

# The C library, the driver of the GPU, and CUDA's libraries (half a GiB) belong to the machine.
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${programs} MODULES ${plugins}
     RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing
     PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv|util|anl|nsl)\\.so"
       "^lib(cuda|cudart|cublas|cublasLt|nccl)\\.so" "^libnvidia" "^linux-vdso")
if(missing)
  message(FATAL_ERROR "libraries that are not found: ${missing}")
endif()
foreach(library ${libraries})
  file(INSTALL ${library} DESTINATION ${PREFIX}/lib FOLLOW_SYMLINK_CHAIN)
endforeach()

function(set_runpath pattern runpath)
  file(GLOB files ${pattern})
  foreach(file ${files})
    if(NOT IS_SYMLINK ${file})
      execute_process(COMMAND ${PATCHELF} --set-rpath ${runpath} ${file}
                      COMMAND_ERROR_IS_FATAL ANY)
    endif()
  endforeach()
endfunction()
set_runpath("${PREFIX}/lib/*.so*" "$ORIGIN")
set_runpath("${PREFIX}/bin/orte*" "$ORIGIN/../lib")
if(ORTERUN)
  string(REGEX REPLACE "[^/]+" ".." up ${PLUGINS_BELOW_PREFIX})
  set_runpath("${PREFIX}/${PLUGINS_BELOW_PREFIX}/*.so" "$ORIGIN/${up}/lib")
endif()
