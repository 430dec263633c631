#!/bin/sh
# Prints assembler that embeds the files of lua/ and build/compiled/: embed.sh PACKED FILE...
# A file of which the folder PACKED has NAME.gz is embedded as that; host.c inflates it.
# Names are the paths below those folders, sorted bytewise, as host.c searches them.
set -eu
LC_ALL=C
export LC_ALL
packed=$1
shift
echo '	.section .rodata'
names=$(printf '%s\n' "$@" | sed 's|^lua/||; s|^build/compiled/||' | sort)
n=0
for name in $names; do # the names together: a search touches few pages
  printf '.Ln%d:	.asciz "%s"\n' $n "$name"
  n=$((n + 1))
done
printf '	.section .rodata.embedded,"a"\n	.globl host_embedded_bytes\nhost_embedded_bytes:\n'      # apart, for the same reason
n=0
for name in $names; do
  file=lua/$name
  case $name in *.luac) file=build/compiled/$name ;; esac
  [ ! -e "$packed/$name.gz" ] || file=$packed/$name.gz
  printf '.Ls%d:	.incbin "%s"\n.Le%d:	.byte 0\n' $n "$file" $n
  n=$((n + 1))
done
printf '	.globl host_embedded_end\nhost_embedded_end:\n'
printf '	.section .rodata\n	.balign 8\n	.globl host_embedded\nhost_embedded:\n.Lembedded:\n'
i=0
while [ $i -lt $n ]; do
  printf '	.long .Ln%d - .Lembedded, .Ls%d - .Lembedded, .Le%d - .Lembedded\n' $i $i $i
  i=$((i + 1))
done
printf '	.balign 8\n	.globl host_embedded_count\nhost_embedded_count:	.quad %d\n' $n
printf '	.section .note.GNU-stack,"",@progbits\n'
