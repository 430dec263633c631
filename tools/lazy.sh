#!/bin/sh
# Prints assembler for the libraries that are loaded when they are first needed: lazy.sh OBJECT...
# Our call of PQconnectStart jumps through a slot, which host_need (host/lazy.c) fills. Linked, these
# libraries and what they need would be read and relocated at each start, for a line of Lua too.
# curl itself is linked from its archive, one of the OBJECTs; what else it would bring along, Kerberos,
# LDAP and two more TLS libraries for protocols that we do not speak, is among the libraries here.
set -eu
LC_ALL=C
export LC_ALL
used=$(nm -g --quiet "$@" | awk '$1 == "U" { used[$2] } NF == 3 { ours[$3] } END { for (s in used) if (!(s in ours)) print s }' | sort)
machine=$(uname -m)

n=0
tables=
curl=$(objdump -p "$(cc -print-file-name=libcurl.so)" | awk '$1 == "NEEDED" && $2 !~ /^lib(c|crypto|ssl|z)\./ { print $2 }')
for library in pq ssh archive microhttpd ssl crypto yaml expat jansson edit z $curl; do
  case $library in
    *.so.*) file=$(cc -print-file-name="$library") library=$(expr "$library" : 'lib\([a-z0-9]*\)') ;;
    *) file=$(cc -print-file-name=lib$library.so) ;;
  esac
  soname=$(objdump -p "$file" | awk '$1 == "SONAME" { print $2 }')
  first=$n
  for symbol in $({ echo "$used"; nm -D --defined-only "$file" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u; } | sort | uniq -d); do
    printf '\t.text\n\t.globl %s\n\t.hidden %s\n\t.type %s, @function\n%s:\n' "$symbol" "$symbol" "$symbol" "$symbol"
    case $machine in
      x86_64) printf '\tjmp *.Lslots+%d(%%rip)\n' $((8 * n)) ;;
      aarch64) printf '\tadrp x16, .Lslots+%d\n\tldr x16, [x16, :lo12:.Lslots+%d]\n\tbr x16\n' $((8 * n)) $((8 * n)) ;;
      *) echo "lazy.sh does not know $machine" >&2; exit 1 ;;
    esac
    printf '\t.section .rodata\n.Ls%d:\t.asciz "%s"\n' $n "$symbol"
    n=$((n + 1))
  done
  printf '\t.section .rodata\n.Ll_%s:\t.asciz "%s"\n.Ln_%s:\t.asciz "%s"\n' $library "$soname" $library $library
  tables="$tables $library:$first:$n"
done
printf '\t.data\n\t.balign 8\n.Lslots:\n'
i=0
while [ $i -lt $n ]; do printf '\t.quad host_not_loaded\n'; i=$((i + 1)); done
printf '\t.section .data.rel.ro,"aw"\n\t.balign 8\n.Lnames:\n'
i=0
while [ $i -lt $n ]; do printf '\t.quad .Ls%d\n' $i; i=$((i + 1)); done
printf '\t.globl host_libraries\nhost_libraries:\n'
for table in $tables; do
  library=${table%%:*} rest=${table#*:}
  first=${rest%%:*} last=${rest##*:}
  printf '\t.quad .Ln_%s, .Ll_%s, .Lnames+%d, .Lslots+%d, %d\n' "$library" "$library" $((8 * first)) $((8 * first)) $((last - first))
done
printf '\t.quad 0, 0, 0, 0, 0\n\t.section .note.GNU-stack,"",@progbits\n'
