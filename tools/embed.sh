#!/bin/sh
# Prints assembler that embeds the files of lua/: embed.sh FILE...
# Names are the paths below lua/, sorted bytewise, as host.c searches them.
set -eu
LC_ALL=C
export LC_ALL
echo '	.section .rodata'
n=0
names=$(printf '%s\n' "$@" | sed 's|^lua/||' | sort)
for name in $names; do
  printf '.Ln%d:	.asciz "%s"\n.Ls%d:	.incbin "lua/%s"\n.Le%d:	.byte 0\n' $n "$name" $n "$name" $n
  n=$((n + 1))
done
printf '	.section .data.rel.ro,"aw"\n	.balign 8\n	.globl host_embedded\nhost_embedded:\n'
i=0
while [ $i -lt $n ]; do
  printf '	.quad .Ln%d, .Ls%d, .Le%d\n' $i $i $i
  i=$((i + 1))
done
printf '	.quad 0, 0, 0\n	.section .rodata\n	.balign 8\n	.globl host_embedded_count\nhost_embedded_count:	.quad %d\n' $n
printf '	.section .note.GNU-stack,"",@progbits\n'
