#!/usr/bin/env bash
# One training on two machines of a Slurm cluster: sbatch docs/examples/slurm.sh
# doubleback, the model and this folder must be at the same paths on all of them.
#SBATCH --job-name=doubleback
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
set -euo pipefail

# Who has the token may run code as you on all of these machines: a file that nobody else reads, gone with the job.
umask 077
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$first" hostname --ip-address | cut -d ' ' -f 1)
export RAY_ADDRESS="$ip:$((20000 + SLURM_JOB_ID % 10000))"
options=(--num-gpus=8 --num-cpus=32 --include-log-monitor=false --disable-usage-stats --block)
srun --overlap --nodes=1 --ntasks=1 --nodelist="$first" \
    ray start --head --node-ip-address="$ip" --port="${RAY_ADDRESS##*:}" --include-dashboard=false "${options[@]}" &
until ray status --address="$RAY_ADDRESS" > /dev/null 2>&1; do sleep 2; done
srun --overlap --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$first" \
    ray start --address="$RAY_ADDRESS" "${options[@]}" &
until ray status --address="$RAY_ADDRESS" 2> /dev/null | grep -q "/$((8 * SLURM_NNODES)).0 GPU"; do sleep 2; done

doubleback train gsm8k model=qwen3-30b-a3b scale.gpus=16 scale.trainers=4 optim.gradient_checkpointing=true --out runs/gsm8k
