FROM busybox
ENV old form with blanks
ENV A=1 B="two words" C=three\ words D='$A' E="$A"
ENV A=2 F=$A
RUN echo "$old $A $B $C $D $E $F" > /env
