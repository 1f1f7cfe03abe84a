#!/bin/sh
# Writes testdata/keys anew, with OpenSSL 3: one key on P-256, plain, and encrypted in every way that is read, and
# in some that are not (no-*). The passphrase is "secret".
set -eu
mkdir -p "$(dirname "$0")/keys"
cd "$(dirname "$0")/keys"
out='-passout pass:secret'
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.pem
openssl ec -in plain.pem -out plain-sec1.pem
pkcs8() { name=$1; shift; openssl pkcs8 -topk8 -in plain.pem $out -out "$name.pem" "$@"; }
for c in aes-128-cbc aes-192-cbc aes-256-cbc des3; do pkcs8 $c -v2 $c; done
for h in SHA1 SHA224 SHA384 SHA512; do pkcs8 prf-$h -v2 aes-256-cbc -v2prf hmacWith$h; done
pkcs8 iter-100000 -v2 aes-256-cbc -iter 100000
pkcs8 no-scrypt -v2 aes-256-cbc -scrypt -scrypt_N 1024 -scrypt_r 8 -scrypt_p 1
pkcs8 no-pbes1 -v1 PBE-SHA1-3DES
pkcs8 no-camellia -v2 camellia-256-cbc
for c in aes256 aes128 des3; do openssl ec -$c -in plain.pem $out -out legacy-$c.pem; done
