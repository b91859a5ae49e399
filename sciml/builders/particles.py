"""Particle systems to graphs (all pairs)."""
import numpy as np, torch
from sciml.graph import Graph, Spec
def particle_graph(position, *, edges="all", cutoff=None, k=None, box=None, nodes=None, units=None):
    F,N,D=position.shape
    i,j=np.nonzero(~np.eye(N,dtype=bool))
    ei=np.stack([j,i])[:,None,:]+N*np.arange(F)[None,:,None]
    nd={'pos':torch.as_tensor(np.ascontiguousarray(position)).reshape(-1,D)}
    for n,v in (nodes or {}).items(): nd[n]=torch.as_tensor(np.ascontiguousarray(v)).reshape(F*N,*v.shape[2:])
    return Graph.create(torch.as_tensor(ei.reshape(2,-1)),nd,node_counts=torch.full((F,),N),specs={('nodes',n):Spec(irreps='1o') for n in ('velocity','acceleration') if n in nd})
